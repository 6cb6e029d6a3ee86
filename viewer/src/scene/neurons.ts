/** Why a query attends to a key: their vectors, products and scores, and whether these explain the weights. */

import type { CallData } from "../wire/scene";
import type { Vectors } from "../wire/vectors";
import { rowWidth } from "./rows";

export interface NeuronRow {
  readonly keys: readonly number[]; // that the row attends to
  readonly weight: Float64Array;
  readonly score: Float64Array; // scale x q·k; NaN where no vector stands behind a key
  readonly gap: number; // largest difference between the softmax of the scores and the weights
}

/** Scores and weights of one query in one head. The softmax is over the keys at hand and shares out what they hold. */
export function neuronRow(call: CallData, vectors: Vectors, head: number, row: number): NeuronRow {
  const width = rowWidth(call);
  const at = (head * call.queries + row) * width;
  const keys: number[] = [];
  const held: number[] = [];
  for (let n = 0; n < width; n++) {
    const key = call.key ? call.key[at + n]! : n;
    if (key < 0 || !(call.weight[at + n]! > 0)) continue;
    keys.push(key);
    held.push(call.weight[at + n]!);
  }
  const weight = Float64Array.from(held);
  const score = Float64Array.from(keys, (key) => {
    let sum = 0;
    for (const part of products(vectors, call, head, row, key)) sum += part;
    return sum;
  });
  const known = keys.map((_, n) => n).filter((n) => score[n] === score[n]);
  const top = Math.max(...known.map((n) => score[n]!));
  const raised = known.map((n) => Math.exp(score[n]! - top));
  const share = known.reduce((sum, n) => sum + weight[n]!, 0) / raised.reduce((sum, value) => sum + value, 0);
  return { keys, weight, score, gap: Math.max(0, ...known.map((n, m) => Math.abs(raised[m]! * share - weight[n]!))) };
}

export function queryVector(vectors: Vectors, call: CallData, head: number, row: number): Float32Array {
  const at = (head * call.queries + row) * vectors.width;
  return vectors.query.subarray(at, at + vectors.width);
}

export function keyVector(vectors: Vectors, call: CallData, head: number, key: number): Float32Array {
  const at = (head * call.keys + key) * vectors.width;
  return vectors.key.subarray(at, at + vectors.width);
}

/** What each dimension adds to the score: scale x q_d x k_d. Their sum is the score. */
export function products(vectors: Vectors, call: CallData, head: number, row: number, key: number): Float64Array {
  const [query, other] = [queryVector(vectors, call, head, row), keyVector(vectors, call, head, key)];
  return Float64Array.from(query, (value, d) => (vectors.scale ?? 1) * value * other[d]!);
}
