/** Rows of one call for chosen heads, or for their mean. */

import type { CallData } from "../wire/scene";

// A row whose weights differ by less than this share of uniform attention tells its keys apart by noise only.
const FLAT_SPREAD = 0.02;
// So does one whose entropy is so near to that of uniform attention.
const FLAT_ENTROPY = 0.999;
// Cells of a mean over heads that were kept as top-k: a table of 16 MB.
const MOST_MEAN_CELLS = 4_194_304;

/** Weights of some heads of a call. `heads` are their numbers; -1 is a mean. */
export interface Rows {
  readonly call: CallData;
  readonly heads: readonly number[];
  readonly weight: Float32Array; // (head, query, key or k)
  readonly sign: Int8Array | null; // of each weight, where two passes are compared
  readonly key: Int32Array | null;
  readonly norm: Float32Array | null; // (head, key): what a weight of 1 adds to the stream
  readonly flat: readonly boolean[]; // heads that tell nothing apart
}

/** Where a query stands among the tokens of its side: with cached keys the queries are the last ones. */
export function queryShift(call: CallData, tokens: number): number {
  return tokens - call.queries;
}

export function rowWidth(call: CallData): number {
  return call.k ?? call.keys;
}

/** Tell whether each row of a head is uniform over the keys that it may see. */
export function isFlatHead(call: CallData, head: number): boolean {
  const width = rowWidth(call);
  let rows = 0;
  for (let query = 0; query < call.queries; query++) {
    const visible = call.visible[head * call.queries + query]!;
    if (visible < 2) continue; // one key: nothing to tell apart
    rows++;
    const at = (head * call.queries + query) * width;
    let low = Infinity;
    let high = 0;
    let seen = 0;
    let bits = 0;
    for (let n = at; n < at + width; n++) {
      const w = call.weight[n]!;
      if (w > 0) {
        seen++;
        low = Math.min(low, w);
        high = Math.max(high, w);
        bits -= w * Math.log2(w);
      }
    }
    const isWhole = seen >= Math.min(visible, width);
    if (!isWhole) return false;
    const isEven = (high - low) * visible < FLAT_SPREAD;
    if (!isEven && (seen < visible || bits < FLAT_ENTROPY * Math.log2(visible))) return false;
  }
  return rows > 0;
}

/** Weight that a row's edges are judged by: a row that sees one key has no choice, and its 1 counts as even attention. */
export function judgedWeight(call: CallData, row: number, weight: number): number {
  return call.visible[row] === 1 ? weight * evenWeight(call) : weight;
}

const even = new WeakMap<CallData, number>();

/** What even attention gives each key of the widest row. */
function evenWeight(call: CallData): number {
  let known = even.get(call);
  if (known === undefined) even.set(call, (known = 1 / call.visible.reduce((most, keys) => Math.max(most, keys), 1)));
  return known;
}

/** Rows of each of `heads`. */
export function rowsOfHeads(call: CallData, heads: readonly number[]): Rows {
  const size = call.queries * rowWidth(call);
  const isAll = heads.length === call.heads && heads.every((head, n) => head === n);
  const isRun = heads.every((head, n) => head === heads[0]! + n);
  const take = <T extends Float32Array | Int32Array | Int8Array>(from: T, length: number): T => {
    if (isAll) return from;
    if (isRun) return from.subarray(heads[0]! * length, (heads.at(-1)! + 1) * length) as T;
    const out = new (from.constructor as new (length: number) => T)(heads.length * length);
    heads.forEach((head, n) => out.set(from.subarray(head * length, (head + 1) * length), n * length));
    return out;
  };
  return {
    call,
    heads,
    weight: take(call.weight, size),
    sign: call.sign ? take(call.sign, size) : null,
    key: call.key && take(call.key, size),
    norm: call.valueNorm && take(call.valueNorm, call.keys),
    flat: heads.map((head) => isFlatHead(call, head)),
  };
}

/** Mean over `heads`; null if they were kept as top-k and are too large to be added up. */
export function meanRows(call: CallData, heads: readonly number[]): Rows | null {
  const { queries, keys } = call;
  if (heads.length === 0 || (call.key && queries * keys > MOST_MEAN_CELLS)) return null;
  const width = rowWidth(call);
  const mean = new Float32Array(queries * keys);
  const added = call.valueNorm ? new Float64Array(keys) : null;
  const mass = new Float64Array(keys);
  for (const head of heads) {
    for (let query = 0; query < queries; query++) {
      const at = (head * queries + query) * width;
      for (let n = 0; n < width; n++) {
        const key = call.key ? call.key[at + n]! : n;
        if (key < 0) continue;
        const w = call.weight[at + n]! / heads.length;
        mean[query * keys + key]! += call.sign ? w * call.sign[at + n]! : w;
        mass[key]! += w;
        if (added) added[key]! += w * call.valueNorm![head * keys + key]!;
      }
    }
  }
  const sign = call.sign && Int8Array.from(mean, Math.sign);
  if (sign) mean.forEach((w, n) => (mean[n] = Math.abs(w)));
  const norm = added && Float32Array.from(added, (sum, key) => (mass[key]! > 0 ? sum / mass[key]! : 0));
  const merged: CallData = { ...call, heads: 1, k: null, key: null, weight: mean, sign };
  return { call: merged, heads: [-1], weight: mean, sign, key: null, norm, flat: [isFlatHead(merged, 0)] };
}

const received = new WeakMap<CallData, Float64Array>();

/** What each key receives from the real rows of each head: (head, key) sums of weights. Counted once a call. */
export function receivedSums(call: CallData): Float64Array {
  const known = received.get(call);
  if (known) return known;
  const sums = new Float64Array(call.heads * call.keys);
  const width = rowWidth(call);
  for (let head = 0; head < call.heads; head++) {
    for (let query = 0; query < call.queries; query++) {
      const row = head * call.queries + query;
      if (call.visible[row]! <= 0) continue;
      const [from, to] = [row * width, head * call.keys];
      if (!call.key) for (let n = 0; n < width; n++) sums[to + n]! += call.weight[from + n]!;
      else for (let n = from; n < from + width; n++) if (call.key[n]! >= 0) sums[to + call.key[n]!]! += call.weight[n]!;
    }
  }
  received.set(call, sums);
  return sums;
}

/** Rows of a head that are not padding. */
export function realRows(call: CallData, head: number): number {
  let rows = 0;
  for (let query = 0; query < call.queries; query++) if (call.visible[head * call.queries + query]! > 0) rows++;
  return rows;
}

/** Weight of one pair; NaN where a top-k capture did not keep it. */
export function weightAt(call: CallData, head: number, query: number, key: number): number {
  if (query < 0 || query >= call.queries || key < 0 || key >= call.keys) return Number.NaN;
  const width = rowWidth(call);
  const at = (head * call.queries + query) * width;
  if (!call.key) return call.weight[at + key]!;
  for (let n = at; n < at + width; n++) if (call.key[n] === key) return call.weight[n]!;
  return call.isWhole ? 0 : Number.NaN;
}
