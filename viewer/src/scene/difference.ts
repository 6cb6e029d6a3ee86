/** Two passes over the same tokens as one scene: by how much each weight rose or fell. */

import type { OutputsData } from "../wire/outputs";
import type { CallData, SceneData } from "../wire/scene";
import { rowWidth, weightAt } from "./rows";

/** Say why two scenes cannot be compared token by token; null if they can. */
export function whyIncomparable(a: SceneData, b: SceneData): string | null {
  if (a.sides.length !== b.sides.length || a.sides.some((side, n) => side.tokens.join("\0") !== b.sides[n]!.tokens.join("\0"))) {
    return "the two pictures have different tokens";
  }
  const shape = (call: CallData) => [call.kind, call.querySide, call.keySide, call.heads, call.queries, call.keys].join();
  if (a.calls.length !== b.calls.length || a.calls.some((call, n) => shape(call) !== shape(b.calls[n]!))) {
    return "the two pictures have different layers or heads";
  }
  return null;
}

/** The scene of `after` whose weights are |after − before|, with their signs. */
export function differenceScene(before: SceneData, after: SceneData): SceneData {
  return {
    ...after,
    before,
    after,
    calls: after.calls.map((call, n) => differenceCall(before.calls[n]!, call)),
    outputs: differenceOutputs(before.outputs, after.outputs),
    knockOuts: [],
    warnings: [...after.warnings, ...before.warnings.map((warning) => `compared with: ${warning}`)],
  };
}

function differenceCall(before: CallData, after: CallData): CallData {
  const rows = after.heads * after.queries;
  const isDense = !before.key && !after.key;
  const width = isDense ? after.keys : Math.min(after.keys, rowWidth(before) + rowWidth(after));
  const weight = new Float32Array(rows * width);
  const sign = new Int8Array(rows * width);
  const key = isDense ? null : new Int32Array(rows * width).fill(-1);
  for (let row = 0; row < rows; row++) {
    const [head, query] = [Math.floor(row / after.queries), row % after.queries];
    const keys = isDense ? null : keysOfRow([before, after], row);
    for (let n = 0; n < (keys?.length ?? width); n++) {
      const at = row * width + n;
      const [old, now] = keys
        ? [weightAt(before, head, query, keys[n]!), weightAt(after, head, query, keys[n]!)]
        : [before.weight[at]!, after.weight[at]!];
      if (key) key[at] = keys![n]!;
      if (!(Math.abs(now - old) > 0)) continue; // equal, or one of them was not kept
      weight[at] = Math.abs(now - old);
      sign[at] = now > old ? 1 : -1;
    }
  }
  const isWhole = before.isWhole && after.isWhole;
  return {
    ...after, weight, sign, key, isWhole, k: isDense ? null : width, sums: "",
    kept: isDense ? null : new Float32Array(rows).fill(1), valueNorm: null,
  };
}

/** Keys that either pass kept in a row, each once. */
function keysOfRow(calls: readonly CallData[], row: number): number[] {
  const found = new Set<number>();
  for (const call of calls) {
    const width = rowWidth(call);
    for (let n = 0; n < width; n++) {
      const key = call.key ? call.key[row * width + n]! : n;
      if (key >= 0) found.add(key);
    }
  }
  return [...found];
}

function differenceOutputs(before: OutputsData | null, after: OutputsData | null): OutputsData | null {
  if (!after) return null;
  const from = after.names.map((name) => before?.names.indexOf(name) ?? -1);
  const isKnown = before?.contribution && after.contribution && from.every((n) => n >= 0);
  if (!isKnown) return { ...after, contribution: null };
  const tokens = after.contribution.length / after.names.length;
  const contribution = after.contribution.map((value, at) => value - before.contribution![from[Math.floor(at / tokens)]! * tokens + (at % tokens)]!);
  return { ...after, contribution };
}
