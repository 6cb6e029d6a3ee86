/** From captured rows to edges: which there are under a choice, and what they hold in all. */

import { plural } from "../maths/digits";
import type { CallData, SceneData } from "../wire/scene";
import { drawnHeads, type Choice } from "./choice";
import { ANSWER, ATTENTION, CROSS, Edges, KINDS, RESIDUAL, VALUE } from "./edges";
import { nodeOf, type NodeIndex } from "./nodes";
import { meanRows, queryShift, rowsOfHeads, rowWidth, type Rows } from "./rows";

// Edges that are sorted and counted one by one; beyond it the weakest are counted only.
export const MOST_CANDIDATES = 2_000_000;

export interface Graph {
  readonly edges: Edges; // those that a threshold chooses from
  readonly fixed: Edges; // residual and answer edges: always drawn
  readonly total: number; // edges with any weight, those not in `edges` included
  readonly totals: readonly number[]; // the same for each kind
  readonly mass: number; // attention of all drawn rows, 1 a row
  readonly carried: number; // contribution of all value edges
  readonly dropped: readonly string[]; // what is not in `edges`, in sentences
  readonly flatHeads: readonly string[];
}

/** Which of a call's edges a view draws. */
export function drawnKinds(choice: Choice, call: CallData): number[] {
  if (choice.view === "layer" && call.number !== choice.layer) return [];
  const isFront = choice.view === "front";
  if (call.kind === "cross" || call.querySide !== call.keySide) {
    return choice.attention || choice.values || isFront ? [CROSS] : [];
  }
  if (isFront) return [VALUE];
  if (choice.view === "layer") return [ATTENTION];
  return [...(choice.attention ? [ATTENTION] : []), ...(choice.values ? [VALUE] : [])];
}

interface Part {
  readonly rows: Rows;
  readonly kinds: readonly number[];
}

/** Build the graph of a scene under a choice. */
export function buildGraph(scene: SceneData, index: NodeIndex, choice: Choice): Graph {
  const parts: Part[] = [];
  const dropped: string[] = [];
  const flatHeads: string[] = [];
  for (const call of scene.calls) {
    const heads = drawnHeads(choice, call.number, call.heads);
    const kinds = drawnKinds(choice, call);
    if (heads.length === 0 || kinds.length === 0) continue;
    let rows = choice.heads === "mean" && heads.length > 1 ? meanRows(call, heads) : rowsOfHeads(call, heads);
    if (!rows) {
      dropped.push(`layer ${call.layer} is too large for a mean of its kept weights: heads are drawn one by one`);
      rows = rowsOfHeads(call, heads);
    }
    parts.push({ rows, kinds });
    rows.flat.forEach((flat, n) => {
      if (flat) flatHeads.push(rows.heads[n]! < 0 ? `layer ${call.layer} (mean)` : `layer ${call.layer} head ${rows.heads[n]!}`);
    });
    if (!call.isWhole && call.k !== null && call.k < call.keys) dropped.push(describeKept(call));
    if (call.sums) dropped.push(`layer ${call.layer}: ${call.sums}`);
    if (call.nanRows) dropped.push(`${plural(call.nanRows, "row")} of layer ${call.layer} ${call.nanRows === 1 ? "holds" : "hold"} NaN`);
  }
  const floor = candidateFloor(parts);
  const edges = new Edges();
  const sums = { total: 0, totals: Array<number>(KINDS).fill(0), mass: 0, carried: 0 };
  for (const part of parts) {
    for (const kind of part.kinds) {
      const mass = sums.mass;
      addCall(part.rows, kind, floor, { edges, sums, scene, index, choice });
      // Attention that is drawn twice, within a plane and as ribbons, is counted once.
      if (kind === VALUE && part.kinds.includes(ATTENTION)) sums.mass = mass;
    }
  }
  if (floor > 0) dropped.push(`weights below ${floor.toExponential(0)} are counted but not sorted`);
  return { edges, fixed: fixedEdges(scene, index, choice), ...sums, dropped: [...new Set(dropped)], flatHeads };
}

function describeKept(call: CallData): string {
  let kept = 0;
  let rows = 0;
  call.kept!.forEach((share, row) => {
    if (call.visible[row]! > 0 && share === share) {
      kept += share;
      rows++;
    }
  });
  const share = rows ? (100 * kept) / rows : 0;
  return `layer ${call.layer}: the page holds ${call.k} of ${call.keys} keys a row, ${share.toFixed(1)} % of the attention`;
}

/** Smallest weight that becomes an edge: 0 unless there are more than MOST_CANDIDATES. */
function candidateFloor(parts: readonly Part[]): number {
  const entries = parts.reduce((sum, part) => sum + part.rows.weight.length * part.kinds.length, 0);
  if (entries <= MOST_CANDIDATES) return 0;
  const bins = new Float64Array(2048); // by exponent and three bits of a float's fraction
  for (const { rows, kinds } of parts) {
    const bits = new Uint32Array(rows.weight.buffer, rows.weight.byteOffset, rows.weight.length);
    for (const b of bits) bins[b >>> 20]! += kinds.length;
  }
  let above = 0;
  for (let bin = 2047; bin > 0; bin--) {
    above += bins[bin]!;
    if (above > MOST_CANDIDATES) {
      return new Float32Array(new Uint32Array([(bin + 1) << 20]).buffer)[0]!;
    }
  }
  return 0;
}

interface Target {
  readonly edges: Edges;
  readonly sums: { total: number; totals: number[]; mass: number; carried: number };
  readonly scene: SceneData;
  readonly index: NodeIndex;
  readonly choice: Choice;
}

/** Add the edges of one kind from all rows of a call. */
function addCall(rows: Rows, kind: number, floor: number, to: Target): void {
  const { call } = rows;
  const { queries } = call;
  const width = rowWidth(call);
  const shift = queryShift(call, to.scene.sides[call.querySide]!.tokens.length);
  const paddedKey = to.scene.sides[call.keySide]!.padded;
  const isSum = kind === ATTENTION && to.choice.direction === "sum";
  rows.heads.forEach((head, h) => {
    for (let query = 0; query < queries; query++) {
      const row = Math.max(head, 0) * queries + query;
      if (call.visible[row]! <= 0) continue;
      const at = (h * queries + query) * width;
      let sum = 0;
      for (let n = 0; n < width; n++) {
        const weight = rows.weight[at + n]!;
        const key = rows.key ? rows.key[at + n]! : n;
        if (weight <= 0 || key < 0 || paddedKey[key]) continue;
        sum += weight;
        const norm = rows.norm ? rows.norm[h * call.keys + key]! : Number.NaN;
        if (kind !== ATTENTION && norm === norm) to.sums.carried += weight * norm;
        const back = isSum ? backWeight(rows, h, query + shift, key, shift) : Number.NaN;
        // Of the two directions of an undirected edge the one with the smaller query adds it.
        if (isSum && query + shift > key && back > 0) continue;
        to.sums.total++;
        to.sums.totals[kind]!++;
        const mass = weight + (isSum && back > 0 && query + shift !== key ? back : 0);
        if (mass < floor) continue;
        addEdge(rows, kind, { h, query, key, weight, back, mass, norm }, shift, to);
      }
      const kept = call.kept ? call.kept[row]! : 1;
      to.sums.mass += kept > 0 ? sum / kept : 0;
    }
  });
}

interface Cell {
  h: number;
  query: number;
  key: number;
  weight: number;
  back: number; // weight of the other direction; NaN: none
  mass: number;
  norm: number;
}

/** Weight from token `key` to token `query`: 0 where masked, NaN where it was not kept or there is no such row. */
function backWeight(rows: Rows, h: number, query: number, key: number, shift: number): number {
  const { call } = rows;
  const row = key - shift;
  if (row < 0 || row >= call.queries || query >= call.keys) return Number.NaN;
  const at = (h * call.queries + row) * rowWidth(call);
  if (!rows.key) return rows.weight[at + query]!;
  for (let n = at; n < at + rowWidth(call); n++) if (rows.key[n] === query) return rows.weight[n]!;
  return call.isWhole ? 0 : Number.NaN;
}

function addEdge(rows: Rows, kind: number, cell: Cell, shift: number, to: Target): void {
  const { call } = rows;
  const { h, query, key, weight, back, mass, norm } = cell;
  const head = rows.heads[h]!;
  const visible = (q: number) => call.visible[Math.max(head, 0) * call.queries + q] ?? 0;
  const token = query + shift;
  const isLoop = kind === ATTENTION && token === key;
  const isBoth = kind === ATTENTION && !isLoop && back > 0;
  const plane = kind === ATTENTION ? call.plane : call.plane + 1;
  // An undirected edge is told from the token that attends more.
  if (isBoth && back > weight) {
    const turned = { h, query: key - shift, key: token, weight: back, back: weight, mass, norm: rows.norm ? rows.norm[h * call.keys + token]! : Number.NaN };
    return addEdge(rows, kind, turned, shift, to);
  }
  const queryNode = nodeOf(to.index, call.querySide, plane, token);
  const keyPlane = kind === CROSS ? to.scene.sides[call.keySide]!.planes - 1 : call.plane;
  const keyNode = nodeOf(to.index, call.keySide, keyPlane, key);
  const backNorm = isBoth && rows.norm ? rows.norm[h * call.keys + token]! : Number.NaN;
  to.edges.add({
    kind, call: call.number, head, key,
    query: token,
    from: kind === ATTENTION ? queryNode : keyNode,
    to: kind === ATTENTION ? keyNode : queryNode,
    weight,
    reverse: kind === ATTENTION && !isLoop
      ? to.choice.direction === "sum" ? back : backWeight(rows, h, token, key, shift)
      : Number.NaN,
    mass,
    lift: Math.max(weight * visible(query), isBoth ? back * visible(key - shift) : 0),
    contribution: weight * norm + (isBoth ? back * backNorm : 0),
    flat: rows.flat[h]!,
  });
}

// Parts of a score below this share of the largest are not drawn; the token's panel has them.
const LEAST_PART = 0.1;
// Parts of one answer that are drawn.
const MOST_PARTS = 16;

const NO_EDGE = { head: -1, reverse: Number.NaN, mass: 0, lift: Number.NaN, flat: false };

/** Each real token's own state carried on, and each answer's parts. */
function fixedEdges(scene: SceneData, index: NodeIndex, choice: Choice): Edges {
  const edges = new Edges();
  if (choice.view === "layer") return edges;
  for (const call of choice.residual ? scene.calls : []) {
    const side = scene.sides[call.querySide]!;
    const shift = queryShift(call, side.tokens.length);
    for (let query = 0; query < call.queries; query++) {
      const token = query + shift;
      if (side.padded[token]) continue;
      const [own, added] = [call.flow[query]!, call.flow[call.queries + query]!];
      edges.add({
        ...NO_EDGE, kind: RESIDUAL, call: call.number, query: token, key: token,
        from: nodeOf(index, call.querySide, call.plane, token),
        to: nodeOf(index, call.querySide, call.plane + 1, token),
        weight: own / (own + added), contribution: own,
      });
    }
  }
  const parts = choice.classes ? scene.outputs?.contribution : null;
  if (!scene.outputs || !parts) return edges;
  const side = scene.sides[scene.outputs.side]!;
  const drawn = parts.subarray(0, index.answers * side.tokens.length);
  const least = LEAST_PART * drawn.reduce((most, part) => (Math.abs(part) > most ? Math.abs(part) : most), 0);
  for (let answer = 0; answer < index.answers; answer++) {
    const own = parts.slice(answer * side.tokens.length, (answer + 1) * side.tokens.length).map(Math.abs).sort().reverse();
    for (let token = 0; token < side.tokens.length; token++) {
      const weight = parts[answer * side.tokens.length + token]!;
      if (side.padded[token] || !weight || Math.abs(weight) < Math.max(least, own[MOST_PARTS - 1] ?? 0)) continue;
      edges.add({
        ...NO_EDGE, kind: ANSWER, call: -1, query: answer, key: token, weight, contribution: weight,
        from: nodeOf(index, scene.outputs.side, side.planes - 1, token),
        to: index.firstAnswer + answer,
      });
    }
  }
  return edges;
}
