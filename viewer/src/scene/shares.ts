/** Top-p: the share of its row that stronger edges hold, for each edge of a part. */

import { measureOfEntry, pairing, placeOfEntry, type Part } from "./candidates";
import { ATTENTION } from "./edges";
import { findPartners } from "./partner";
import { queryShift, rowWidth } from "./rows";

// A float's 32 bits and an index of 21 fit a double exactly, so that the browser's own sort orders both at once.
const MOST_INDEX = 2 ** 21 - 1;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Sorts one row after another. */
class RowSorter {
  private packed = new Float64Array(0);
  private count = 0;
  private total = 0;

  start(length: number): void {
    if (this.packed.length < length) this.packed = new Float64Array(length);
    this.count = 0;
    this.total = 0;
  }

  add(value: number, index: number): void {
    float[0] = value;
    // Of equal values the first comes first in falling order.
    this.packed[this.count++] = bits[0]! * (MOST_INDEX + 1) + (MOST_INDEX - index);
    this.total += value;
  }

  /** Tell each index which share of the row's sum the larger values hold. */
  finish(tell: (index: number, share: number) => void): void {
    const sorted = this.packed.subarray(0, this.count).sort();
    let above = 0;
    for (let n = this.count - 1; n >= 0; n--) {
      const high = Math.floor(sorted[n]! / (MOST_INDEX + 1));
      tell(MOST_INDEX - (sorted[n]! - high * (MOST_INDEX + 1)), this.total > 0 ? Math.min(above / this.total, 1) : 0);
      bits[0] = high;
      above += float[0]!;
    }
  }
}

/**
 * Share of its row that stronger weights hold, of each entry: 0 for the strongest, 1 for what is no edge.
 *
 * A row is what a token looks at; seen from the keys, what looks at it. An undirected edge takes the smaller of the
 * shares in its two rows.
 */
export function rowShares(part: Part): Float32Array {
  const { rows, kind, ground } = part;
  const size = rows.call.queries * rowWidth(rows.call);
  const shares = new Float32Array(part.bin.length).fill(1);
  const sorter = new RowSorter();
  const isBackward = kind === ATTENTION && ground.direction === "backward";
  const isSum = pairing(kind, ground.direction) === "sum";
  const partners = isSum ? new Int32Array(size) : null;
  for (let h = 0; h < rows.heads.length; h++) {
    if (isBackward) shareColumns(part, h, sorter, shares);
    else shareRows(part, h, sorter, shares);
    if (!partners) continue;
    findPartners(rows, h, queryShift(rows.call, ground.scene.sides[rows.call.querySide]!.tokens.length), partners);
    for (let n = 0; n < size; n++) {
      const [entry, other] = [h * size + n, partners[n]!];
      if (other >= 0 && part.bin[entry]! > 0) shares[entry] = Math.min(shares[entry]!, shares[other]!);
    }
  }
  return shares;
}

function shareRows(part: Part, h: number, sorter: RowSorter, shares: Float32Array): void {
  const { rows, kind, ground } = part;
  const { call } = rows;
  const width = rowWidth(call);
  const hidden = ground.hidden[call.keySide]!;
  // Of the two directions of an undirected edge each takes part in its own row.
  const takesAll = pairing(kind, ground.direction) === "sum";
  for (let query = 0; query < call.queries; query++) {
    if (call.visible[Math.max(rows.heads[h]!, 0) * call.queries + query]! <= 0) continue;
    const at = (h * call.queries + query) * width;
    sorter.start(width);
    for (let n = 0; n < width; n++) {
      const key = rows.key ? rows.key[at + n]! : n;
      if (key < 0 || hidden[key] || !(rows.weight[at + n]! > 0) || !(takesAll || part.bin[at + n]! > 0)) continue;
      sorter.add(takesAll ? rows.weight[at + n]! : measureOfEntry(part, at + n), n);
    }
    sorter.finish((n, share) => (shares[at + n] = share));
  }
}

function shareColumns(part: Part, h: number, sorter: RowSorter, shares: Float32Array): void {
  const { rows, bin } = part;
  const { call } = rows;
  const size = call.queries * rowWidth(call);
  const columns: number[][] = Array.from({ length: call.keys }, () => []);
  for (let entry = h * size; entry < (h + 1) * size; entry++) {
    if (bin[entry]! > 0) columns[placeOfEntry(part, entry).key]!.push(entry);
  }
  for (const column of columns) {
    sorter.start(column.length);
    column.forEach((entry, n) => sorter.add(rows.weight[entry]!, n));
    sorter.finish((n, share) => (shares[column[n]!] = share));
  }
}
