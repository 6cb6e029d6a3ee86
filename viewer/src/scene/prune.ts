/** Which edges are shown: an order in which every threshold is a prefix. Only its first edges are sorted. */

import { fallingOrder, fallingPlaces, risingOrder } from "../maths/order";
import { countEdges, edgeOfEntry, entriesAbove, tableOf, type Part } from "./candidates";
import type { PruneName } from "./choice";
import { ATTENTION, CROSS, KINDS, VALUE, type Edges } from "./edges";
import type { Graph } from "./build";
import { BINS, binAtRank, binOf, countAbove, heldByTop, leastOf, sizeOf, spreadTop } from "./levels";
import { rowShares } from "./shares";

/** Edges sorted so that the first n are those shown, as many as can be drawn; the others are counted. */
export interface Order {
  readonly edges: Edges;
  readonly key: Float32Array; // of `edges`, rising: what a threshold compares
  readonly massBefore: Float64Array; // attention of the first n of `edges`, n = 0 to all
  readonly carriedBefore: Float64Array; // contribution of the first n
  readonly total: number; // edges of the graph
  readonly always: number; // edges of heads that are uniform throughout: shown at any threshold
  readonly below: (limit: number) => readonly Below[]; // of each part; beyond `edges` from histograms
}

/** Edges of one part below a limit. */
export interface Below {
  readonly count: number;
  readonly mass: number;
  readonly carried: number;
}

/** What the edges below a threshold hold. */
export interface Held {
  readonly count: number;
  readonly kinds: readonly number[];
  readonly mass: number;
  readonly carried: number;
  readonly isExact: boolean; // false: from histograms, good to three digits
}

// Edges of a picture. More cannot be told apart; the count says so.
export const MOST_DRAWN = 50_000;
// In the stack, where attention edges are drawn too, one value edge is shown for so many of them.
const EDGES_PER_VALUE = 4;
// Bins of a row's share.
const SHARE_BINS = 1000;
// Halvings by which a limit is found: 24 bits are a float's.
const HALVINGS = 24;

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

/** How a threshold compares the sharp edges of all parts. */
interface Ranking {
  counts(limit: number): number[]; // of each part, how many keys are below the limit
  below(limit: number): Below[];
  limitFor(count: number): number; // a limit that about so many edges are below, or more
  entries(limit: number): number[][]; // of each part at least those below the limit
  keys(edges: Edges, entries: readonly (readonly number[])[], byMeasure: Uint32Array): Float32Array; // what is compared
}

/** What so many of the strongest edges of each part hold. */
function strongestOf(parts: readonly Part[], counts: readonly number[]): Below[] {
  return parts.map((part, n) => ({ count: counts[n]!, ...heldByTop(part.sharp, counts[n]!) }));
}

const added = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);

/** The strongest of each layer, the same number in every layer. */
function rankByLayer(parts: readonly Part[], hasAttention: boolean): Ranking {
  const step = (kind: number) => (hasAttention && kind === VALUE ? EDGES_PER_VALUE : 1);
  const counts = (limit: number) => parts.map((part) => Math.min(sizeOf(part.sharp), Math.max(0, Math.ceil(limit / step(part.kind)))));
  return {
    counts,
    below: (limit) => strongestOf(parts, counts(limit)),
    limitFor(count) {
      let [low, high] = [1, EDGES_PER_VALUE * Math.max(1, ...parts.map((part) => sizeOf(part.sharp)))];
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (added(counts(middle)) < count) low = middle + 1;
        else high = middle;
      }
      return low;
    },
    entries(limit) {
      const some = counts(limit);
      return parts.map((part, n) => entriesAbove(part, false, binAtRank(part.sharp, some[n]!)));
    },
    keys(edges, _, byMeasure) {
      const { group, groups } = groupEdges(edges);
      // Uniform heads take no places.
      const places = fallingPlaces(group.map((g, n) => (edges.flat[n] ? groups : g)), byMeasure, groups + 1);
      for (let n = 0; n < places.length; n++) places[n]! *= step(edges.kind[n]!);
      return places;
    },
  };
}

/** The strongest of all, as a share of the largest of their kind: kinds are measured in different units. */
function rankByStrength(parts: readonly Part[]): Ranking {
  const largest = new Float64Array(KINDS);
  for (const part of parts) largest[part.kind] = Math.max(largest[part.kind]!, part.most);
  const counts = (limit: number) => parts.map((part) => countAbove(part.sharp, -limit * largest[part.kind]!));
  return {
    counts,
    below: (limit) => strongestOf(parts, counts(limit)),
    limitFor(count) {
      if (added(counts(0)) <= count) return 0;
      let [low, high] = [-60, 0]; // log2 of the share
      for (let n = 0; n < HALVINGS; n++) {
        const middle = (low + high) / 2;
        if (added(counts(-(2 ** middle))) < count) high = middle;
        else low = middle;
      }
      return -(2 ** low);
    },
    entries: (limit) => parts.map((part) => entriesAbove(part, false, limit < 0 ? binOf(-limit * largest[part.kind]!) : 1)),
    keys: (edges) => Float32Array.from({ length: edges.length }, (_, n) => -edges.measure(n) / (largest[edges.kind[n]!]! || 1)),
  };
}

/** Each token's strongest, up to a share of what it has. */
function rankByRow(parts: readonly Part[]): Ranking {
  const shares = parts.map(rowShares);
  const sums = parts.map((part, p) => sumShares(part, shares[p]!));
  const below = (limit: number) => sums.map((of): Below => {
    const place = Math.min(SHARE_BINS + 1, Math.max(0, limit * SHARE_BINS));
    const bin = Math.min(SHARE_BINS, Math.floor(place));
    const at = (values: Float64Array) => values[bin]! + (place - bin) * (values[bin + 1]! - values[bin]!);
    return { count: at(of.count), mass: at(of.mass), carried: at(of.carried) };
  });
  const counts = (limit: number) => below(limit).map((one) => one.count);
  return {
    below, counts,
    limitFor(count) {
      let bin = 1;
      while (bin <= SHARE_BINS && added(counts(bin / SHARE_BINS)) < count) bin++;
      return bin / SHARE_BINS;
    },
    entries: (limit) => parts.map((part, p) => entriesAbove(part, false, 1).filter((entry) => shares[p]![entry]! < limit)),
    keys: (edges, entries) => {
      const keys = new Float32Array(edges.length);
      let at = 0;
      entries.forEach((some, p) => some.forEach((entry) => (keys[at++] = shares[p]![entry]!)));
      return keys;
    },
  };
}

/** What sharp edges hold whose share is below n / SHARE_BINS, n = 0 to SHARE_BINS + 1. */
function sumShares(part: Part, shares: Float32Array): { [name in keyof Below]: Float64Array } {
  const [count, mass, carried] = [0, 1, 2].map(() => new Float64Array(SHARE_BINS + 2)) as [Float64Array, Float64Array, Float64Array];
  const { rows, kind, bin } = part;
  const size = bin.length / Math.max(1, rows.heads.length);
  for (let entry = 0; entry < bin.length; entry++) {
    if (bin[entry] === 0 || rows.flat[Math.floor(entry / size)]) continue;
    const place = 1 + Math.floor(shares[entry]! * SHARE_BINS);
    const measure = leastOf(bin[entry]!);
    const edgeMass = kind === ATTENTION ? Math.max(measure, rows.weight[entry]!) : rows.weight[entry]!; // a row of one key is judged by less
    count[place]!++;
    mass[place]! += edgeMass;
    if (kind === VALUE && rows.norm) carried[place]! += measure;
    if (kind === CROSS) carried[place]! += edgeOfEntry(part, entry).contribution || 0;
  }
  for (const sums of [count, mass, carried]) for (let n = 0; n <= SHARE_BINS; n++) sums[n + 1]! += sums[n]!;
  return { count, mass, carried };
}

/** The strongest edges of uniform heads, at least so many. */
function flatEntries(parts: readonly Part[], count: number): number[][] {
  let least = added(parts.map((part) => sizeOf(part.flat))) <= count ? 1 : BINS;
  while (least > 1 && added(parts.map((part) => countAbove(part.flat, leastOf(least)))) < count) least--;
  return parts.map((part) => entriesAbove(part, true, count > 0 ? least : BINS));
}

/** Order the edges of a graph for a pruning. Uniform heads come first if nothing else is drawn, else last. */
export function orderEdges(graph: Graph, name: PruneName): Order {
  const { parts } = graph;
  const hasAttention = graph.totals[ATTENTION]! > 0;
  const sharp = added(parts.map((part) => sizeOf(part.sharp)));
  const isAllFlat = graph.total > 0 && sharp === 0;
  const ranking = name === "layer" ? rankByLayer(parts, hasAttention) : name === "strength" ? rankByStrength(parts) : rankByRow(parts);
  const isCut = sharp > MOST_DRAWN;
  const limit = isCut ? ranking.limitFor(MOST_DRAWN) : Infinity;
  const sharpEntries = isCut ? ranking.entries(limit) : parts.map((part) => entriesAbove(part, false, 1));
  const flat = flatEntries(parts, Math.min(graph.total, MOST_DRAWN) - sharp);
  const entries = parts.map((_, n) => [...sharpEntries[n]!, ...flat[n]!]);
  const edges = tableOf(parts, entries);
  const byMeasure = fallingOrder(Float32Array.from({ length: edges.length }, (_, n) => edges.measure(n)));
  const keys = ranking.keys(edges, entries, byMeasure);
  for (let n = 0; n < keys.length; n++) if (edges.flat[n]) keys[n] = isAllFlat ? -Infinity : Infinity;
  // Equal keys: the stronger first, so that under-blending keeps it on top.
  const index = risingOrder(Float32Array.from(byMeasure, (edge) => keys[edge]!)).map((place) => byMeasure[place]!);
  // Beyond the limit some of the edges are missing.
  let count = Math.min(index.length, MOST_DRAWN);
  while (isCut && count > 0 && keys[index[count - 1]!]! > limit) count--;
  const drawn = edges.select(index.subarray(0, count));
  const everything = () => parts.map((part): Below => {
    const [one, two] = [heldByTop(part.sharp, Infinity), heldByTop(part.flat, Infinity)];
    return { count: countEdges(part), mass: one.mass + two.mass, carried: one.carried + two.carried };
  });
  return {
    edges: drawn, key: Float32Array.from(index.subarray(0, count), (edge) => keys[edge]!), ...sumsBefore(drawn, hasAttention),
    total: graph.total, always: isAllFlat ? graph.total : 0,
    below: (wanted) => (isAllFlat || wanted === Infinity ? everything() : ranking.below(wanted)),
  };
}

function sumsBefore(edges: Edges, hasAttention: boolean): Pick<Order, "massBefore" | "carriedBefore"> {
  const massBefore = new Float64Array(edges.length + 1);
  const carriedBefore = new Float64Array(edges.length + 1);
  for (let n = 0; n < edges.length; n++) {
    const carried = edges.kind[n] === ATTENTION ? 0 : edges.contribution[n]!;
    const isSecond = hasAttention && edges.kind[n] === VALUE; // its attention is counted within the plane
    massBefore[n + 1] = massBefore[n]! + (isSecond ? 0 : edges.mass[n]!);
    carriedBefore[n + 1] = carriedBefore[n]! + (carried === carried ? carried : 0);
  }
  return { massBefore, carriedBefore };
}

/** How many edges have a key below `limit`. */
export function countBelow(order: Order, limit: number): number {
  if (order.always > 0 || limit === Infinity) return order.total;
  const sorted = prefixBelow(order, limit);
  if (sorted < order.key.length || sorted === order.total) return sorted;
  return Math.max(sorted, Math.min(order.total, Math.round(added(order.below(limit).map((part) => part.count)))));
}

/** What the edges below `limit` hold. */
export function heldBelow(graph: Graph, order: Order, limit: number): Held {
  const count = countBelow(order, limit);
  const kinds = Array<number>(KINDS).fill(0);
  if (count <= order.edges.length) {
    for (let n = 0; n < count; n++) kinds[order.edges.kind[n]!]!++;
    return { count, kinds, mass: order.massBefore[count]!, carried: order.carriedBefore[count]!, isExact: true };
  }
  const hasAttention = graph.totals[ATTENTION]! > 0;
  let [mass, carried] = [0, 0];
  order.below(count === order.total ? Infinity : limit).forEach((below, n) => {
    const { kind } = graph.parts[n]!;
    if (!(hasAttention && kind === VALUE)) mass += below.mass;
    if (kind !== ATTENTION) carried += below.carried;
    kinds[kind]! += below.count;
  });
  return { count, kinds: kinds.map(Math.round), mass, carried, isExact: count === order.total };
}

/** How many of the edges below `limit` there are in each of `bins` bins by mass. */
export function massBins(graph: Graph, order: Order, limit: number, bins: number, binOfMass: (mass: number) => number): Float64Array {
  const out = new Float64Array(bins);
  order.below(limit).forEach(({ count }, n) => {
    const { sharp, flat } = graph.parts[n]!;
    spreadTop(sharp, count, out, binOfMass);
    spreadTop(flat, count - sizeOf(sharp), out, binOfMass);
  });
  return out;
}

/** How many of the sorted edges have a key below `limit`. */
export function prefixBelow(order: Pick<Order, "key">, limit: number): number {
  let [low, high] = [0, order.key.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order.key[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
