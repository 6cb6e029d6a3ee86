/** Query and key vectors of a call, where the capture kept them. */

import { isCount, takeArray, type Block } from "./block";
import { FormatFault } from "./fault";

export interface Vectors {
  readonly width: number;
  readonly scale: number | null; // what products are multiplied with; null: not one number
  readonly query: Float32Array; // (head, query, width); NaN: none
  readonly key: Float32Array; // (head, key, width)
  readonly isExact: boolean; // false: 16 bits a number
}

const MIDDLE = 32767; // a code is (code / MIDDLE - 1) x the largest; the one past 2 x MIDDLE is none

export function readVectors(
  block: Block, n: number, call: Record<string, unknown>, sizes: { heads: number; queries: number; keys: number },
): Vectors | null {
  if (!block.arrays.has(`query_vector.${n}`)) return null;
  const { width, scale } = call;
  if (!isCount(width) || width < 1) throw new FormatFault(`Call ${n} has vectors without a width.`);
  const take = (name: "query" | "key", length: number): Float32Array => {
    const shape = [sizes.heads, length, width];
    const largest = call[`${name}_largest`];
    if (typeof largest !== "number") return takeArray(block, `${name}_vector.${n}`, shape, Float32Array);
    const codes = takeArray(block, `${name}_vector.${n}`, shape, Uint16Array);
    return Float32Array.from(codes, (code) => (code > 2 * MIDDLE ? Number.NaN : (code / MIDDLE - 1) * largest));
  };
  return {
    width, scale: typeof scale === "number" && Number.isFinite(scale) ? scale : null,
    query: take("query", sizes.queries), key: take("key", sizes.keys), isExact: typeof call["query_largest"] !== "number",
  };
}
