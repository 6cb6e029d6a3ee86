/** The visible edges as rows: their columns, orders of them, and those that a search leaves. */

import { fallingOrder, risingOrder } from "../../maths/order";
import { drawnHeads } from "../../scene/choice";
import { queryShift, weightAt } from "../../scene/rows";
import type { CallData, SceneData } from "../../wire/scene";
import { labelOf } from "../element";
import type { Model } from "../model";

export const KIND_NAMES = ["attention", "value", "cross"];
// Letters of a token that a search reads.
const SEARCHED_LETTERS = 10_000;

export type ColumnName =
  | "layer" | "head" | "from" | "to" | "weight" | "reverse" | "lift" | "contribution" | "kind" | "before" | "after" | "change";

export interface Column {
  readonly name: ColumnName;
  readonly label: string;
  readonly title: string;
  readonly isNumber: boolean; // a measured one: written with the digits that it has
}

const column = (name: ColumnName, title: string, isNumber = false): Column => ({ name, label: name, title, isNumber });
const FIRST = [
  column("layer", "layer of the attention call"), column("head", "head; mean where heads are drawn as one"),
  column("from", "the query: the token that attends, and its place"), column("to", "the key: the token attended to, and its place"),
];
const LAST = column("kind", "attention: within a plane; value: what it carries to the next; cross: from another side");
const SINGLE = [
  ...FIRST, column("weight", "A[query, key], after softmax", true), column("reverse", "A[key, query]", true),
  column("lift", "weight × visible keys: 1 is an even share", true), column("contribution", "weight × ‖v W_O‖", true), LAST,
];
const PAIR = [
  ...FIRST, column("before", "weight in the pass compared with", true), column("after", "weight in this pass", true),
  column("change", "after − before; sorted by size", true), LAST,
];

/** Edge `n` of the rows: what its cells are made from. */
export class Rows {
  readonly columns: readonly Column[];
  readonly count: number;
  readonly total: number; // edges below the threshold too
  private readonly heads: (readonly number[])[];

  constructor(readonly model: Model) {
    this.columns = model.scene.before ? PAIR : SINGLE;
    this.count = model.shown();
    this.total = model.graph.total;
    this.heads = model.scene.calls.map((call) => drawnHeads(model.choice, call.number, call.heads));
  }

  /** Index among the graph's edges of the n-th shown one. */
  edge(n: number): number {
    return this.model.order.index[n]!;
  }

  call(n: number): CallData {
    return this.model.scene.calls[this.model.graph.edges.call[this.edge(n)]!]!;
  }

  /** A number of a row, as it is stored; of a token its place. */
  value(n: number, name: ColumnName): number {
    const { edges } = this.model.graph;
    const at = this.edge(n);
    switch (name) {
      case "layer": return this.call(n).layer;
      case "from": return edges.query[at]!;
      case "to": return edges.key[at]!;
      case "before": return this.weightIn(this.model.scene.before!, at);
      case "after": return this.weightIn(this.model.scene.after!, at);
      case "change": return this.value(n, "after") - this.value(n, "before");
      default: return edges[name][at]!;
    }
  }

  private weightIn(scene: SceneData, at: number): number {
    const { edges } = this.model.graph;
    const call = scene.calls[edges.call[at]!]!;
    const query = edges.query[at]! - queryShift(call, scene.sides[call.querySide]!.tokens.length);
    const head = edges.head[at]!;
    if (head >= 0) return weightAt(call, head, query, edges.key[at]!);
    const heads = this.heads[call.number]!;
    return heads.reduce((sum, one) => sum + weightAt(call, one, query, edges.key[at]!), 0) / heads.length;
  }

  /** Side and token of an end of a row. */
  token(n: number, name: "from" | "to"): { side: number; token: number } {
    const call = this.call(n);
    return { side: name === "from" ? call.querySide : call.keySide, token: this.value(n, name) };
  }

  text(n: number, name: "from" | "to"): string {
    const { side, token } = this.token(n, name);
    return this.model.scene.sides[side]!.tokens[token]!;
  }

  /** The token as its tokenizer writes it. */
  raw(n: number, name: "from" | "to"): string {
    const { side, token } = this.token(n, name);
    return this.model.scene.sides[side]!.raw[token]!;
  }

  kind(n: number): string {
    return KIND_NAMES[this.model.graph.edges.kind[this.edge(n)]!] ?? "";
  }
}

export interface Sorting {
  readonly name: ColumnName;
  readonly isFalling: boolean;
}

/** Rows that a search leaves, sorted; without a sorting in the order of drawing. Unknown numbers come last. */
export function findRows(rows: Rows, search: string, sorting: Sorting | null): Uint32Array {
  const matches = matcher(rows, search);
  const found = new Uint32Array(rows.count);
  let count = 0;
  for (let n = 0; n < rows.count; n++) if (matches(n)) found[count++] = n;
  const left = found.subarray(0, count);
  if (!sorting) return left;
  const { name, isFalling } = sorting;
  const bySize = name === "change";
  const keys = Float32Array.from(left, (n) => (bySize ? Math.abs(rows.value(n, name)) : rows.value(n, name)));
  return (isFalling ? fallingOrder(keys) : risingOrder(keys)).map((place) => left[place]!);
}

/** Words must all be met: a layer (L3), a head (H2), a place (#7 or 7), a kind, or part of a token; "L3" is a text. */
function matcher(rows: Rows, search: string): (n: number) => boolean {
  const words = search.toLocaleLowerCase().match(/"[^"]*"?|\S+/g) ?? [];
  const tests = words.map((word) => {
    const named = /^([lh#])(\d+)$/.exec(word);
    const wanted = Number(named?.[2]);
    if (named?.[1] === "l") return (n: number) => rows.value(n, "layer") === wanted;
    if (named?.[1] === "h") return (n: number) => rows.value(n, "head") === wanted;
    if (named) return (n: number) => rows.value(n, "from") === wanted || rows.value(n, "to") === wanted;
    const place = /^\d+$/.test(word) ? Number(word) : -1;
    const text = word.replace(/^"|"$/g, "");
    const isIn = rows.model.scene.sides.map((side) => side.tokens.map((token, n) =>
      n === place || token.slice(0, SEARCHED_LETTERS).toLocaleLowerCase().includes(text) || labelOf(token).toLocaleLowerCase().includes(text)));
    return (n: number) => {
      const call = rows.call(n);
      return isIn[call.querySide]![rows.value(n, "from")]! || isIn[call.keySide]![rows.value(n, "to")]! || rows.kind(n) === word;
    };
  });
  return (n) => tests.every((test) => test(n));
}
