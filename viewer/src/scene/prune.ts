/** Which edges are shown: an order in which every threshold is a prefix. */

import { fallingOrder, fallingPlaces, risingOrder, shareAbove } from "../maths/order";
import type { PruneName } from "./choice";
import { ATTENTION, KINDS, VALUE, type Edges } from "./edges";
import type { Graph } from "./build";

/** Edges sorted so that the first n are those shown. `key` rises along the order. */
export interface Order {
  readonly edges: Edges; // in the order of drawing: as many as can be drawn
  readonly index: Uint32Array; // edges of the graph in this order, all of them
  readonly key: Float32Array;
  readonly massBefore: Float64Array; // attention of the first n edges, n = 0 to all
  readonly carriedBefore: Float64Array; // contribution of the first n value edges
  readonly always: number; // edges of heads that are uniform throughout: shown at any threshold
}

// Edges of a picture. More cannot be told apart; the count says so.
export const MOST_DRAWN = 50_000;
// In the stack, where attention edges are drawn too, one value edge is shown for so many of them.
const EDGES_PER_VALUE = 4;

/** Number the groups within which edges are compared: one call and one kind of edge. */
export function groupEdges(edges: Edges, count = edges.length): { group: Uint32Array; groups: number } {
  const numbers = new Map<number, number>();
  const group = new Uint32Array(count);
  for (let n = 0; n < count; n++) {
    const name = (edges.call[n]! + 1) * KINDS + edges.kind[n]!;
    let number = numbers.get(name);
    if (number === undefined) numbers.set(name, (number = numbers.size));
    group[n] = number;
  }
  return { group, groups: numbers.size };
}

function measures(edges: Edges): Float32Array {
  const values = new Float32Array(edges.length);
  for (let n = 0; n < values.length; n++) values[n] = edges.measure(n);
  return values;
}

function largestOf(values: Int32Array | Uint32Array, length: number): number {
  let most = 0;
  for (let n = 0; n < length; n++) most = Math.max(most, values[n]!);
  return most;
}

/** Share of its row that stronger edges hold; an undirected edge takes the smaller of its two rows. */
function rowShares(edges: Edges): Float32Array {
  const rows = new Map<number, number>();
  const [heads, tokens] = [2 + largestOf(edges.head, edges.length), 1 + largestOf(edges.query, edges.length)];
  const places = Math.max(tokens, 1 + largestOf(edges.key, edges.length));
  const number = (n: number, query: number) => {
    const group = (edges.call[n]! + 1) * KINDS + edges.kind[n]!;
    const name = (group * heads + edges.head[n]! + 1) * places + query;
    let row = rows.get(name);
    if (row === undefined) rows.set(name, (row = rows.size));
    return row;
  };
  const isBoth = (n: number) => edges.kind[n] === ATTENTION && edges.mass[n]! > edges.weight[n]!;
  let entries = edges.length;
  for (let n = 0; n < edges.length; n++) if (isBoth(n)) entries++;
  const [edge, row, value] = [new Uint32Array(entries), new Uint32Array(entries), new Float32Array(entries)];
  let at = 0;
  for (let n = 0; n < edges.length; n++) {
    edge[at] = n;
    row[at] = number(n, edges.query[n]!);
    value[at++] = edges.kind[n] === ATTENTION ? edges.weight[n]! : edges.measure(n);
    if (!isBoth(n)) continue;
    edge[at] = n;
    row[at] = number(n, edges.key[n]!);
    value[at++] = edges.reverse[n]!;
  }
  const shares = new Float32Array(edges.length).fill(1);
  shareAbove(row, value, rows.size).forEach((share, n) => {
    shares[edge[n]!] = Math.min(shares[edge[n]!]!, share);
  });
  return shares;
}

/** What the threshold compares: smaller is shown sooner. */
function pruneKeys(name: PruneName, edges: Edges, values: Float32Array, byMeasure: Uint32Array): Float32Array {
  if (name === "row") return rowShares(edges);
  if (name === "layer") {
    const { group, groups } = groupEdges(edges);
    const places = fallingPlaces(group, byMeasure, groups);
    if (!edges.kind.subarray(0, edges.length).includes(ATTENTION)) return places;
    for (let n = 0; n < places.length; n++) if (edges.kind[n] === VALUE) places[n]! *= EDGES_PER_VALUE;
    return places;
  }
  // Contributions of one kind and weights of another are not comparable: each as a share of its largest.
  const largest = new Float32Array(KINDS);
  for (let n = 0; n < values.length; n++) {
    const kind = edges.kind[n]!;
    if (values[n]! > largest[kind]!) largest[kind] = values[n]!;
  }
  return values.map((value, n) => -value / (largest[edges.kind[n]!]! || 1));
}

/** Sort the edges of a graph for a pruning. Uniform heads come first if nothing else is drawn, else last. */
export function orderEdges(graph: Graph, name: PruneName): Order {
  const { edges } = graph;
  const count = edges.length;
  const values = measures(edges);
  const byMeasure = fallingOrder(values);
  const keys = pruneKeys(name, edges, values, byMeasure);
  const flat = edges.flat.subarray(0, count);
  const isAllFlat = count > 0 && !flat.includes(0);
  for (let n = 0; n < count; n++) if (flat[n]) keys[n] = isAllFlat ? -Infinity : Infinity;
  // Equal keys: the stronger first, so that under-blending keeps it on top.
  const byMeasureKeys = new Float32Array(count);
  for (let n = 0; n < count; n++) byMeasureKeys[n] = keys[byMeasure[n]!]!;
  const index = risingOrder(byMeasureKeys);
  const key = new Float32Array(count);
  const massBefore = new Float64Array(count + 1);
  const carriedBefore = new Float64Array(count + 1);
  const hasAttention = edges.kind.subarray(0, count).includes(ATTENTION);
  for (let n = 0; n < count; n++) {
    const edge = (index[n] = byMeasure[index[n]!]!);
    key[n] = keys[edge]!;
    const carried = edges.kind[edge] === ATTENTION ? 0 : edges.contribution[edge]!;
    const isSecond = hasAttention && edges.kind[edge] === VALUE; // its attention is counted within the plane
    massBefore[n + 1] = massBefore[n]! + (isSecond ? 0 : edges.mass[edge]!);
    carriedBefore[n + 1] = carriedBefore[n]! + (carried === carried ? carried : 0);
  }
  const drawn = edges.select(index.subarray(0, MOST_DRAWN));
  return { edges: drawn, index, key, massBefore, carriedBefore, always: isAllFlat ? count : 0 };
}

/** How many of the first `count` edges of the order there are of each kind. */
export function countKinds(graph: Graph, order: Order, count: number): number[] {
  const counts = Array<number>(KINDS).fill(0);
  for (let n = 0; n < count; n++) counts[graph.edges.kind[order.index[n]!]!]!++;
  return counts;
}

/** How many edges have a key below `limit`. */
export function prefixBelow(order: Order, limit: number): number {
  let [low, high] = [0, order.key.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order.key[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
