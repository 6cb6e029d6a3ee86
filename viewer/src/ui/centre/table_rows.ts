/** The visible edges as rows: their columns, orders of them, and those that a search leaves. */

import { fallingOrder, risingOrder } from "../../maths/order";
import { drawnHeads } from "../../scene/choice";
import type { Edges } from "../../scene/edges";
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
  readonly title: string; // of a measured number, which is written with the digits that it has
}

const columns = (...names: ColumnName[]): Column[] => names.map((name) => ({ name, title: TITLES[name] ?? "" }));
const TITLES: Partial<Record<ColumnName, string>> = {
  weight: "A[query, key]", reverse: "A[key, query]", lift: "weight × visible keys", contribution: "weight × ‖v W_O‖",
  before: "weight there", after: "weight here", change: "after − before, sorted by size",
};
const SINGLE = columns("layer", "head", "from", "to", "weight", "reverse", "lift", "contribution", "kind");
const PAIR = columns("layer", "head", "from", "to", "before", "after", "change", "kind");

/** The edges that are shown, in the order of drawing, as far as it is sorted: what cells are made from. */
export class Rows {
  readonly columns: readonly Column[];
  readonly edges: Edges;
  readonly count: number;
  readonly shown: number; // as many or more
  readonly total: number; // edges beyond the threshold too

  constructor(readonly model: Model) {
    this.columns = model.scene.before ? PAIR : SINGLE;
    this.edges = model.order.edges;
    this.shown = model.shown();
    this.count = Math.min(this.shown, this.edges.length);
    this.total = model.graph.total;
  }

  call(n: number): CallData {
    return this.model.scene.calls[this.edges.call[n]!]!;
  }

  /** A number of a row, as it is stored; of a token its place. */
  value(n: number, name: ColumnName): number {
    const { edges } = this;
    switch (name) {
      case "layer": return this.call(n).layer;
      case "from": return edges.query[n]!;
      case "to": return edges.key[n]!;
      case "before": return this.weightIn(this.model.scene.before!, n);
      case "after": return this.weightIn(this.model.scene.after!, n);
      case "change": return this.value(n, "after") - this.value(n, "before");
      default: return edges[name][n]!;
    }
  }

  private weightIn(scene: SceneData, at: number): number {
    const { edges } = this;
    const call = scene.calls[edges.call[at]!]!;
    const query = edges.query[at]! - queryShift(call, scene.sides[call.querySide]!.tokens.length);
    const head = edges.head[at]!;
    if (head >= 0) return weightAt(call, head, query, edges.key[at]!);
    const heads = drawnHeads(this.model.choice, call.number, call.heads);
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
    return KIND_NAMES[this.edges.kind[n]!] ?? "";
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
  const words = search.toLowerCase().match(/"[^"]*"?|\S+/g) ?? [];
  const tests = words.map((word) => {
    const [, sign, digits] = /^([lh#]?)(\d+)$/.exec(word) ?? [];
    const wanted = Number(digits);
    if (sign === "l" || sign === "h") return (n: number) => rows.value(n, sign === "l" ? "layer" : "head") === wanted;
    const text = word.replace(/^"|"$/g, "");
    const isIn = rows.model.scene.sides.map((side) => side.tokens.map((token, n) =>
      n === wanted || (sign !== "#" && [token.slice(0, SEARCHED_LETTERS), labelOf(token)].some((one) => one.toLowerCase().includes(text)))));
    return (n: number) => {
      const call = rows.call(n);
      return isIn[call.querySide]![rows.value(n, "from")]! || isIn[call.keySide]![rows.value(n, "to")]! || rows.kind(n) === word;
    };
  });
  return (n) => tests.every((test) => test(n));
}
