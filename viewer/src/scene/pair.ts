/** Everything about one pair of tokens: the edge's own numbers and the same pair in every head of every layer. */

import type { CallData, SceneData } from "../wire/scene";
import type { Edge } from "./edges";
import { queryShift, rowWidth, weightAt } from "./rows";

export interface PairDetails {
  readonly call: CallData;
  readonly heads: readonly number[]; // weight query -> key in each head of this layer
  readonly headsBack: readonly number[]; // weight key -> query; NaN where there is none
  readonly weight: number; // mean over heads for a mean edge
  readonly back: number;
  readonly rank: number; // 1 = the largest of its row; NaN for a mean
  readonly visible: number; // keys that the row may see
  readonly lift: number;
  readonly valueNorm: number; // NaN: not captured
  readonly contribution: number;
  readonly layers: readonly { call: number; heads: readonly number[] }[]; // calls on the same two sides
}

/** Look up a pair of tokens; `edge` is of attention, value or cross kind. */
export function pairDetails(scene: SceneData, edge: Pick<Edge, "call" | "head" | "query" | "key">): PairDetails {
  const call = scene.calls[edge.call]!;
  const shift = queryShift(call, scene.sides[call.querySide]!.tokens.length);
  const row = edge.query - shift;
  const isSelf = call.querySide === call.keySide;
  const all = Array.from({ length: call.heads }, (_, head) => head);
  const heads = all.map((head) => weightAt(call, head, row, edge.key));
  const headsBack = all.map((head) =>
    isSelf && edge.query !== edge.key ? weightAt(call, head, edge.key - shift, edge.query) : Number.NaN,
  );
  const mean = (values: readonly number[]) => {
    const known = values.filter((value) => value === value);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / call.heads : Number.NaN;
  };
  const weight = edge.head < 0 ? mean(heads) : heads[edge.head]!;
  const visible = call.visible[Math.max(edge.head, 0) * call.queries + row] ?? 0;
  const norm = edge.head >= 0 && call.valueNorm ? call.valueNorm[edge.head * call.keys + edge.key]! : Number.NaN;
  return {
    call, heads, headsBack, weight, visible,
    back: edge.head < 0 ? mean(headsBack) : headsBack[edge.head]!,
    rank: edge.head < 0 ? Number.NaN : rankInRow(call, edge.head, row, weight),
    lift: weight * visible,
    valueNorm: norm,
    contribution: weight * norm,
    layers: scene.calls
      .filter((other) => other.querySide === call.querySide && other.keySide === call.keySide)
      .map((other) => {
        const at = edge.query - queryShift(other, scene.sides[other.querySide]!.tokens.length);
        return {
          call: other.number,
          heads: Array.from({ length: other.heads }, (_, head) => weightAt(other, head, at, edge.key)),
        };
      }),
  };
}

function rankInRow(call: CallData, head: number, row: number, weight: number): number {
  const width = rowWidth(call);
  const at = (head * call.queries + row) * width;
  let larger = 0;
  for (let n = at; n < at + width; n++) if (call.weight[n]! > weight) larger++;
  return larger + 1;
}
