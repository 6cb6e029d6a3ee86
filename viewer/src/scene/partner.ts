/** The other direction of a weight: where A[key, query] stands, for each A[query, key] of a head. */

import { rowWidth, type Rows } from "./rows";

// In place of an index: there is no such row, or a top-k capture did not keep the weight.
export const UNKNOWN = -1;
// In place of an index: the weight is known to be 0.
export const MASKED = -2;

/** Fill `out` with the index of each entry's other direction; linear in the number of entries. */
export function findPartners(rows: Rows, h: number, shift: number, out: Int32Array): void {
  const { call } = rows;
  const { queries, keys } = call;
  const width = rowWidth(call);
  const first = h * queries * width;
  if (rows.key) return findKept(rows, h, shift, out);
  for (let query = 0; query < queries; query++) {
    const token = query + shift;
    for (let key = 0; key < keys; key++) {
      const row = key - shift;
      out[query * width + key] = row < 0 || row >= queries || token >= keys ? UNKNOWN : first + row * width + token;
    }
  }
}

/** The same where each row lists its own keys: entries by key, then each row against the column of its token. */
function findKept(rows: Rows, h: number, shift: number, out: Int32Array): void {
  const { call } = rows;
  const { queries, keys } = call;
  const width = rowWidth(call);
  const first = h * queries * width;
  const key = rows.key!.subarray(first, first + queries * width);
  const starts = new Uint32Array(keys + 1);
  for (const k of key) if (k >= 0) starts[k + 1]!++;
  for (let k = 0; k < keys; k++) starts[k + 1]! += starts[k]!;
  const next = starts.slice();
  const column = new Uint32Array(starts[keys]!);
  for (let n = 0; n < key.length; n++) if (key[n]! >= 0) column[next[key[n]!]!++] = n;
  const otherwise = call.isWhole ? MASKED : UNKNOWN;
  for (let n = 0; n < key.length; n++) {
    const row = key[n]! - shift;
    out[n] = row < 0 || row >= queries || Math.floor(n / width) + shift >= keys ? UNKNOWN : otherwise;
  }
  const seen = new Int32Array(keys).fill(-1); // entry of this row that has the key
  for (let query = 0; query < queries && query + shift < keys; query++) {
    const at = query * width;
    for (let n = at; n < at + width; n++) if (key[n]! >= 0) seen[key[n]!] = n;
    for (let n = starts[query + shift]!; n < starts[query + shift + 1]!; n++) {
      const entry = column[n]!; // A[other, this token]
      const other = Math.floor(entry / width) + shift;
      if (other < keys && seen[other]! >= 0) out[entry] = first + seen[other]!;
    }
    for (let n = at; n < at + width; n++) if (key[n]! >= 0) seen[key[n]!] = -1;
  }
}

/** Weight at what `findPartners` found: NaN where it is not known. */
export function weightOf(weight: Float32Array, partner: number): number {
  return partner >= 0 ? weight[partner]! : partner === MASKED ? 0 : Number.NaN;
}

/** The same for one pair: where A[key, query] stands. */
export function partnerOf(rows: Rows, h: number, token: number, key: number, shift: number): number {
  const { call } = rows;
  const row = key - shift;
  if (row < 0 || row >= call.queries || token >= call.keys) return UNKNOWN;
  const width = rowWidth(call);
  const at = (h * call.queries + row) * width;
  if (!rows.key) return at + token;
  for (let n = at; n < at + width; n++) if (rows.key[n] === token) return n;
  return call.isWhole ? MASKED : UNKNOWN;
}
