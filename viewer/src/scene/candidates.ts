/** The edges that could be drawn: entries of the weights, with two bytes each that say how strong they are. */

import type { SceneData } from "../wire/scene";
import type { Direction } from "./choice";
import { ATTENTION, CROSS, Edges, VALUE, type Edge } from "./edges";
import { BINS, binOf, sizeOf, Tally, type Levels } from "./levels";
import { nodeOf, type NodeIndex } from "./nodes";
import { findPartners, partnerOf, weightOf } from "./partner";
import { judgedWeight, queryShift, rowWidth, type Rows } from "./rows";

/** What edges are told by, the same for all parts of a graph. */
export interface Ground {
  readonly scene: SceneData;
  readonly index: NodeIndex;
  readonly direction: Direction;
  readonly hidden: readonly Uint8Array[]; // (side)(token): PADDED and FOLDED keys are not drawn
}

export const PADDED = 1;
export const FOLDED = 2;

/** All edges of one kind of one call. */
export interface Part {
  readonly ground: Ground;
  readonly rows: Rows;
  readonly kind: number;
  readonly first: number; // number of its first entry among those of all parts
  readonly bin: Uint16Array; // of each entry's measure; 0: no edge
  readonly sharp: Levels; // measures of edges
  readonly flat: Levels; // measures of edges of uniform heads
  readonly most: number; // largest measure of the sharp edges
}

/** What all rows of a part hold, drawn or not. */
export interface Sums {
  mass: number; // attention, 1 a row; of differences their sizes
  carried: number; // contributions
  folded: number; // attention on folded keys
  unpaired: number; // weights whose other direction is not known, so that they have no difference
}

const tally = new Tally();
let partners = new Int32Array(0);

/** Whether edges of a kind join two directions of a pair: added up, subtracted, or not. */
export function pairing(kind: number, direction: Direction): "sum" | "asymmetry" | null {
  return kind === ATTENTION && (direction === "sum" || direction === "asymmetry") ? direction : null;
}

/** Find the edges of one kind in all rows of a call; `sums` are added to. */
export function findEdges(ground: Ground, rows: Rows, kind: number, first: number, sums: Sums): Part {
  const { call } = rows;
  const size = call.queries * rowWidth(call); // entries of one head
  const part = { ground, rows, kind, first, bin: new Uint16Array(rows.heads.length * size) };
  const way = pairing(kind, ground.direction);
  if (way && partners.length < size) partners = new Int32Array(size);
  let most = 0;
  rows.heads.forEach((_, h) => {
    if (rows.flat[h]) return;
    if (way) findPartners(rows, h, queryShift(call, ground.scene.sides[call.querySide]!.tokens.length), partners);
    most = Math.max(most, scanHead(part, h, sums));
  });
  const sharp = tally.take();
  rows.heads.forEach((_, h) => {
    if (!rows.flat[h]) return;
    if (way) findPartners(rows, h, queryShift(call, ground.scene.sides[call.querySide]!.tokens.length), partners);
    scanHead(part, h, sums);
  });
  return { ...part, sharp, flat: tally.take(), most };
}

/** Put each edge of a head into its bin; returns the largest measure. */
function scanHead(part: Pick<Part, "ground" | "rows" | "kind" | "bin">, h: number, sums: Sums): number {
  const { ground, rows, kind, bin } = part;
  const { call, weight, norm } = rows;
  const { queries, keys } = call;
  const width = rowWidth(call);
  const hidden = ground.hidden[call.keySide]!;
  const shift = queryShift(call, ground.scene.sides[call.querySide]!.tokens.length);
  const way = pairing(kind, ground.direction);
  const [isSum, isDifference, carries] = [way === "sum", way === "asymmetry", kind !== ATTENTION && norm !== null];
  let most = 0;
  for (let query = 0; query < queries; query++) {
    const row = rowOf(rows, h, query);
    if (call.visible[row]! <= 0) continue;
    const token = query + shift;
    const isFoldedQuery = way !== null && hidden[token] === FOLDED;
    const at = (h * queries + query) * width;
    let [rowSum, folded, differences] = [0, 0, 0];
    for (let n = 0; n < width; n++) {
      const w = weight[at + n]!;
      const key = rows.key ? rows.key[at + n]! : n;
      if (!(w > 0) || key < 0 || hidden[key] === PADDED) continue;
      rowSum += w;
      const carried = carries ? w * norm![h * keys + key]! : 0;
      if (carried === carried) sums.carried += carried;
      if (hidden[key] === FOLDED) {
        folded += w;
        continue;
      }
      let mass = w;
      if (isSum && key !== token && !isFoldedQuery) {
        const back = weightOf(weight, partners[query * width + n]!);
        // An undirected edge is told from the token that attends more.
        if (back > w || (back === w && key < token)) continue;
        if (back > 0) mass = w + back;
      } else if (isDifference) {
        if (key === token || isFoldedQuery) continue;
        const back = weightOf(weight, partners[query * width + n]!);
        if (back !== back) sums.unpaired++;
        if (!(back < w)) continue; // the other direction is the larger, or there is no difference
        mass = w - back;
        differences += mass;
      }
      const measure = kind === VALUE && carries && carried === carried ? carried : judgedWeight(call, row, mass);
      if (measure > most) most = measure;
      tally.add((bin[at + n] = binOf(measure)), mass, carries && carried === carried ? carried : 0);
    }
    const kept = call.kept ? call.kept[row]! : 1;
    if (isDifference) sums.mass += differences;
    else sums.mass += kept > 0 ? rowSum / kept : 0;
    sums.folded += folded;
  }
  return most;
}

/** How many edges a part has. */
export function countEdges(part: Part): number {
  return sizeOf(part.sharp) + sizeOf(part.flat);
}

/** Entries whose bin is at least `least`, of sharp or of flat heads. */
export function entriesAbove(part: Part, isFlat: boolean, least: number): number[] {
  const found: number[] = [];
  const { rows, bin } = part;
  if (least >= BINS) return found;
  const size = rows.call.queries * rowWidth(rows.call);
  const from = Math.max(least, 1);
  rows.flat.forEach((flat, h) => {
    if (flat !== isFlat) return;
    for (let entry = h * size; entry < (h + 1) * size; entry++) if (bin[entry]! >= from) found.push(entry);
  });
  return found;
}

/** Where an entry stands: number of its head among the rows', query and key as tokens. */
export function placeOfEntry(part: Part, entry: number): { h: number; query: number; token: number; key: number } {
  const { rows, ground } = part;
  const { call } = rows;
  const width = rowWidth(call);
  const row = Math.floor(entry / width);
  const h = Math.floor(row / call.queries);
  const query = row - h * call.queries;
  const token = query + queryShift(call, ground.scene.sides[call.querySide]!.tokens.length);
  return { h, query, token, key: rows.key ? rows.key[entry]! : entry - row * width };
}

/** Number of a query's row in its call; a mean has the rows of the first head. */
function rowOf(rows: Rows, h: number, query: number): number {
  return Math.max(rows.heads[h]!, 0) * rows.call.queries + query;
}

/** The edge of an entry. */
export function edgeOfEntry(part: Part, entry: number): Edge {
  const { ground, rows, kind } = part;
  const { call } = rows;
  const { scene, index, direction } = ground;
  const { h, query, token, key } = placeOfEntry(part, entry);
  const weight = rows.weight[entry]!;
  const shift = token - query;
  const isAttention = kind === ATTENTION;
  const isLoop = isAttention && token === key;
  const reverse = isAttention && !isLoop ? weightOf(rows.weight, partnerOf(rows, h, token, key, shift)) : Number.NaN;
  const way = pairing(kind, direction);
  // Attention on a folded sink is no part of an edge.
  const isBoth = way !== null && reverse > 0 && ground.hidden[call.keySide]![token] !== FOLDED;
  const isDifference = way === "asymmetry";
  const visible = (q: number) => call.visible[rowOf(rows, h, q)] ?? 0;
  const normOf = (k: number) => (rows.norm ? rows.norm[h * call.keys + k]! : Number.NaN);
  const mass = isDifference ? weight - reverse : weight + (isBoth ? reverse : 0);
  const queryNode = nodeOf(index, call.querySide, isAttention ? call.plane : call.plane + 1, token);
  const keyNode = nodeOf(index, call.keySide, kind === CROSS ? scene.sides[call.keySide]!.planes - 1 : call.plane, key);
  const isFromQuery = isAttention && direction !== "backward";
  const both = isBoth && !isDifference;
  const contribution = (isDifference ? mass : weight) * normOf(key) + (both ? reverse * normOf(token) : 0);
  const isByValue = kind === VALUE && contribution === contribution;
  return {
    kind, call: call.number, head: rows.heads[h]!, query: token, key, weight, reverse, mass, flat: rows.flat[h]!,
    from: isFromQuery ? queryNode : keyNode,
    to: isFromQuery ? keyNode : queryNode,
    lift: Math.max((isDifference ? mass : weight) * visible(query), both ? reverse * visible(key - shift) : 0),
    contribution,
    judged: isByValue ? contribution : judgedWeight(call, rowOf(rows, h, query), mass),
    sign: rows.sign ? rows.sign[entry]! : isDifference ? (token > key ? 1 : -1) : 0,
  };
}

/** What the edge of an entry is judged by. */
export function measureOfEntry(part: Part, entry: number): number {
  const { rows, kind } = part;
  const weight = rows.weight[entry]!;
  const { h, query, token, key } = placeOfEntry(part, entry);
  const judged = (mass: number) => judgedWeight(rows.call, rowOf(rows, h, query), mass);
  if (kind === CROSS) return judged(weight);
  const way = pairing(kind, part.ground.direction);
  if (way) {
    const back = weightOf(rows.weight, partnerOf(rows, h, token, key, token - query));
    const isFolded = part.ground.hidden[rows.call.keySide]![token] === FOLDED;
    return judged(way === "asymmetry" ? weight - back : token !== key && back > 0 && !isFolded ? weight + back : weight);
  }
  const norm = kind === VALUE && rows.norm ? rows.norm[h * rows.call.keys + key]! : Number.NaN;
  return norm === norm ? weight * norm : judged(weight);
}

/** Edges by number among the entries of all parts, as a table. */
export function tableOf(parts: readonly Part[], entries: readonly (readonly number[])[]): Edges {
  const out = new Edges(entries.reduce((sum, some) => sum + some.length, 0));
  parts.forEach((part, n) => {
    for (const entry of entries[n]!) out.add(edgeOfEntry(part, entry));
  });
  return out;
}

/** All edges of all parts, as a table: for small graphs. */
export function allEdges(parts: readonly Part[]): Edges {
  return tableOf(parts, parts.map((part) => [...part.bin.keys()].filter((entry) => part.bin[entry]! > 0)));
}

/** Find the edge that has these numbers; undefined if there is none. */
export function findEdge(
  parts: readonly Part[], wanted: { [name in "call" | "head" | "query" | "key" | "kind"]?: unknown },
): Edge | undefined {
  const fits = (name: keyof typeof wanted, value: number) => wanted[name] === undefined || wanted[name] === value;
  for (const part of parts) {
    if (!fits("call", part.rows.call.number) || !fits("kind", part.kind)) continue;
    for (let entry = 0; entry < part.bin.length; entry++) {
      if (part.bin[entry] === 0) continue;
      const { h, token, key } = placeOfEntry(part, entry);
      if (fits("head", part.rows.heads[h]!) && fits("query", token) && fits("key", key)) return edgeOfEntry(part, entry);
    }
  }
  return undefined;
}
