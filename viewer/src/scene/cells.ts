/** One head's attention as cells: what is a weight, what the row may not see, and what was not kept. */

import type { CallData, SceneData } from "../wire/scene";
import { queryShift, rowWidth, weightAt } from "./rows";

// What stands in a cell's place where no weight is known to be there.
export const MASKED = -1; // the row does not see this key
export const UNKNOWN = -2; // seen, but the weight was not kept

/** A head's rows and columns: real tokens, padding has no place. */
export interface Cells {
  readonly call: CallData;
  readonly head: number;
  readonly rows: readonly number[]; // query of each row
  readonly columns: readonly number[]; // key of each column
  readonly columnOf: Int32Array; // (key), -1 = padding
  readonly shift: number; // token of a query, less the query
  readonly seen: Int32Array; // (query): from this key on a cell without a weight is masked
}

export function cellsOf(scene: SceneData, call: CallData, head: number): Cells {
  const [ofQuery, ofKey] = [scene.sides[call.querySide]!, scene.sides[call.keySide]!];
  const shift = queryShift(call, ofQuery.tokens.length);
  const upTo = (length: number) => Array.from({ length }, (_, n) => n);
  const rows = upTo(call.queries).filter((query) => !ofQuery.padded[query + shift]);
  const columns = upTo(call.keys).filter((key) => !ofKey.padded[key]);
  const columnOf = new Int32Array(call.keys).fill(-1);
  columns.forEach((key, n) => (columnOf[key] = n));
  const seen = new Int32Array(call.queries);
  const width = rowWidth(call);
  let isCausal = call.kind === "self";
  for (const query of rows) {
    const row = head * call.queries + query;
    const token = query + shift;
    const visible = call.visible[row]!;
    let positive = 0;
    for (let n = 0; n < width; n++) {
      if (!(call.weight[row * width + n]! > 0)) continue;
      positive++;
      if ((call.key ? call.key[row * width + n]! : n) > token) isCausal = false;
    }
    if (visible !== token + 1 && visible !== columnsBefore(columns, token + 1)) isCausal = false;
    // A row with as many weights as it sees keys hides all others; one that holds NaN shows none.
    if (positive < visible && !Number.isNaN(call.entropy[row])) seen[query] = call.keys;
  }
  if (isCausal) for (const query of rows) seen[query] = Math.min(seen[query]!, query + shift + 1);
  return { call, head, rows, columns, columnOf, shift, seen };
}

/** Columns of keys before `key`; columns rise with their keys. */
function columnsBefore(columns: readonly number[], key: number): number {
  let [low, high] = [0, columns.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (columns[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Weight of a cell, or MASKED or UNKNOWN. */
export function cellAt({ call, head, seen }: Cells, query: number, key: number): number {
  const weight = weightAt(call, head, query, key);
  if (weight > 0) return weight;
  if (key >= seen[query]!) return MASKED;
  return call.isWhole ? 0 : UNKNOWN;
}

/** Rows and columns from the first to before the last. */
export interface Box {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

export interface Pooled {
  readonly width: number;
  readonly height: number;
  readonly cells: Float32Array; // weight, MASKED or UNKNOWN
  readonly sign: Int8Array | null; // of the weight, where weights are differences
}

/** Reduce part of a head to at most so many cells: of each block the largest weight, else what is not masked. */
export function pool({ call, head, rows, columns, columnOf, seen }: Cells, box: Box, mostWide: number, mostHigh: number): Pooled {
  const [high, wide] = [box.bottom - box.top, box.right - box.left];
  const [height, width] = [Math.min(high, mostHigh), Math.min(wide, mostWide)];
  const cells = new Float32Array(width * height).fill(MASKED);
  const sign = call.sign && new Int8Array(width * height);
  const list = rowWidth(call);
  for (let r = box.top; r < box.bottom; r++) {
    const query = rows[r]!;
    const y = Math.floor(((r - box.top) * height) / high) * width;
    const end = Math.min(box.right, columnsBefore(columns, seen[query]!));
    const last = Math.ceil(((end - box.left) * width) / wide);
    for (let x = 0; x < last; x++) if (cells[y + x] === MASKED) cells[y + x] = call.isWhole ? 0 : UNKNOWN;
    const at = (head * call.queries + query) * list;
    for (let n = at; n < at + list; n++) {
      const weight = call.weight[n]!;
      if (!(weight > 0)) continue;
      const column = columnOf[call.key ? call.key[n]! : n - at]!;
      if (column < box.left || column >= box.right) continue; // padding is -1
      const cell = y + Math.floor(((column - box.left) * width) / wide);
      if (weight <= cells[cell]!) continue;
      cells[cell] = weight;
      if (sign) sign[cell] = call.sign![n]!;
    }
  }
  return { width, height, cells, sign };
}
