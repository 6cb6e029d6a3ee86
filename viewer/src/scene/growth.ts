/** A generation as it grows: the rows that earlier passes computed, joined to those of the newest. */

import type { CallData, SceneData, SideData } from "../wire/scene";
import type { Vectors } from "../wire/vectors";
import { queryShift, rowWidth } from "./rows";

/** The first token, of the sides that grow, whose rows a pass holds itself; 0: it holds all of them. */
export function firstRow(scene: SceneData): number {
  return Math.max(0, ...scene.calls
    .filter((call) => call.querySide === call.keySide)
    .map((call) => queryShift(call, scene.sides[call.querySide]!.tokens.length)));
}

/** Join passes over one growing text, oldest first, each beginning where the one before ended. */
export function joinPasses(passes: readonly SceneData[]): SceneData {
  const last = passes.at(-1)!;
  if (passes.length === 1) return last;
  const calls = last.calls.map((call, n) => joinCalls(passes.map((pass) => pass.calls[n]).filter((one) => isSameSite(one, call)) as CallData[]));
  return { ...last, calls, sides: last.sides.map((side) => ({ ...side })) };
}

function isSameSite(call: CallData | undefined, last: CallData): boolean {
  return call !== undefined && call.site === last.site && call.heads === last.heads && call.kind === last.kind;
}

function joinCalls(parts: readonly CallData[]): CallData {
  const last = parts.at(-1)!;
  const { heads, keys } = last;
  const queries = parts.reduce((sum, call) => sum + call.queries, 0);
  const isSparse = parts.some((call) => call.key !== null);
  const width = isSparse ? Math.max(...parts.map(rowWidth)) : keys;
  const weight = new Float32Array(heads * queries * width);
  const key = isSparse ? new Int32Array(weight.length).fill(-1) : null;
  const kept = isSparse ? new Float32Array(heads * queries) : null;
  const visible = new Int32Array(heads * queries);
  const entropy = new Float32Array(heads * queries);
  const flow = new Float32Array(4 * queries);
  let first = 0;
  for (const call of parts) {
    const own = rowWidth(call);
    for (let head = 0; head < heads; head++) {
      for (let query = 0; query < call.queries; query++) {
        const [from, to] = [head * call.queries + query, head * queries + first + query];
        weight.set(call.weight.subarray(from * own, (from + 1) * own), to * width);
        if (key) for (let n = 0; n < own; n++) key[to * width + n] = call.key ? call.key[from * own + n]! : n;
        if (kept) kept[to] = call.kept ? call.kept[from]! : 1;
        visible[to] = call.visible[from]!;
        entropy[to] = call.entropy[from]!;
      }
    }
    for (let part = 0; part < 4; part++) flow.set(call.flow.subarray(part * call.queries, (part + 1) * call.queries), part * queries + first);
    first += call.queries;
  }
  return {
    ...last, queries, weight, vectors: joinVectors(parts), key, kept, measures: joinMeasures(parts), visible, entropy, flow, k: isSparse ? width : null,
    isWhole: parts.every((call) => call.isWhole), nanRows: parts.reduce((sum, call) => sum + call.nanRows, 0),
  };
}

/** Measures are means over rows: those of the passes together are weighted by their rows. */
function joinMeasures(parts: readonly CallData[]): Float32Array | null {
  if (parts.some((call) => !call.measures)) return null;
  const { heads } = parts[0]!;
  return Float32Array.from({ length: parts[0]!.measures!.length }, (_, n) => {
    let [sum, rows] = [0, 0];
    for (const { entropy, queries, measures } of parts) {
      const own = entropy.subarray((n % heads) * queries, ((n % heads) + 1) * queries).filter(Number.isFinite).length;
      if (own) sum += own * measures![n]!;
      rows += own;
    }
    return rows ? sum / rows : Number.NaN;
  });
}

/** Vectors of the queries of all passes, and of the keys of the last one, which has them all. */
function joinVectors(parts: readonly CallData[]): Vectors | null {
  const last = parts.at(-1)!.vectors;
  const all = parts.flatMap(({ vectors }) => (vectors && vectors.width === last?.width && vectors.scale === last.scale ? [vectors] : []));
  if (!last || all.length < parts.length) return null;
  const { heads } = parts[0]!;
  const own = Array.from({ length: heads }, (_, head) => all.map(({ query }) => query.subarray((head * query.length) / heads, ((head + 1) * query.length) / heads)));
  const query = new Float32Array(all.reduce((sum, one) => sum + one.query.length, 0));
  let at = 0;
  for (const one of own.flat()) {
    query.set(one, at);
    at += one.length;
  }
  return { ...last, query, isExact: all.every((one) => one.isExact) };
}

/** Sides with room for tokens that later passes add: a token stands where it will stand at the end. */
export function reserve(sides: readonly SideData[], tokens: readonly number[]): SideData[] {
  return sides.map((side, n) => ({ ...side, slots: Math.max(side.tokens.length, tokens[n] ?? 0) }));
}
