/** Neuron view: why one token attends to others in one head: query, keys, their products, scores and weights. */

import { codeError, percent, quantity, signed } from "../../maths/digits";
import { keyVector, neuronRow, products, queryVector, type NeuronRow } from "../../scene/neurons";
import { queryShift } from "../../scene/rows";
import type { CallData } from "../../wire/scene";
import { button, labelOf, make, tokenText } from "../element";
import { LABEL_FONT } from "../labels";
import { bars, signedBar } from "../bars";
import type { Change, Model } from "../model";
import type { Theme } from "../theme";
import { edgeOf, layerPicker, picker, sharpContext } from "./pane";
import type { CentreView } from "./view";

// CSS pixels.
const ROW = 22;
const NUMBER = 66;
const AIR = 10;
const NARROW = 560;
// Largest difference between weights and the softmax of scores that rounding explains.
const ROUNDING = 1e-3;
const CODED_ROUNDING = 5e-3;
const MOST_PARTS = 8; // dimensions that are listed for a pair

class Neuron implements CentreView {
  readonly element = make("div", { class: "pane neuron" });
  private readonly bar = make("div", { class: "pane-bar" });
  private readonly said = make("p", { class: "note", attributes: { role: "status" } });
  private readonly canvas = make("canvas", { class: "pane-canvas", attributes: { role: "img", tabindex: "0" } });
  private readonly parts = make("div", { class: "parts" });
  private readonly sort = button({ class: "chip", text: "by weight", on: { click: () => this.turn() } });
  private byWeight = false;
  private scroll = 0;
  private row: NeuronRow | null = null;
  private order: number[] = []; // places in the row, top to bottom
  private query = -1; // token
  private over: { place: number; d: number } | null = null;

  constructor(private readonly model: Model, private theme: Theme) {
    this.element.append(this.bar, this.said, this.canvas, this.parts);
    this.canvas.addEventListener("pointermove", (event) => {
      this.over = this.at(event.offsetX, event.offsetY);
      this.canvas.title = this.describe();
      this.canvas.dataset["over"] = this.over ? "yes" : "no";
      this.draw();
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.over = null;
      this.draw();
    });
    this.canvas.addEventListener("click", () => this.over && this.choose(this.over.place));
    this.canvas.addEventListener("wheel", (event) => {
      if (this.scrollTo(this.scroll + event.deltaY)) event.preventDefault();
    }, { passive: false });
  }

  private get call(): CallData {
    return this.model.scene.calls[this.model.choice.layer]!;
  }

  /** The head in focus: the one that is shown alone, if there is one. */
  private get head(): number {
    const { solo, layer, head } = this.model.choice;
    return solo?.call === layer ? solo.head : head;
  }

  private turn(): void {
    this.byWeight = !this.byWeight;
    this.refresh("graph");
  }

  private token(side: "query" | "key", token: number): string {
    return labelOf(this.model.scene.sides[this.call[`${side}Side`]]!.tokens[token]!);
  }

  refresh(change: Change): void {
    const { model, call } = this;
    if (!call || change === "threshold" || model.hover) return;
    const { vectors } = call;
    const { tokens, padded } = model.scene.sides[call.querySide]!;
    const shift = queryShift(call, tokens.length);
    const real = tokens.map((_, token) => token).filter((token) => token >= shift && !padded[token]);
    const { selection } = model;
    const wanted = selection?.kind === "edge" && selection.edge.call === call.number ? selection.edge.query
      : selection?.kind === "token" && selection.side === call.querySide ? selection.token : this.query;
    this.query = real.includes(wanted) ? wanted : real.at(-1) ?? -1;
    this.sort.setAttribute("aria-pressed", String(this.byWeight));
    this.bar.replaceChildren(
      layerPicker(model),
      picker("head", Array.from({ length: call.heads }, (_, head) => `head ${head}`), this.head, (head) => model.choose({ head, solo: null })),
      picker("query token", real.map((token) => `${token}: ${this.token("query", token)}`), real.indexOf(this.query), (n) => this.select(real[n]!)),
      this.sort);
    this.row = vectors && this.query >= 0 && !model.scene.before ? neuronRow(call, vectors, this.head, this.query - shift) : null;
    this.order = (this.row?.keys ?? []).map((_, n) => n);
    if (this.byWeight) this.order.sort((a, b) => this.row!.weight[b]! - this.row!.weight[a]!);
    this.said.textContent = this.explain();
    this.canvas.hidden = this.sort.hidden = !this.row;
    this.canvas.setAttribute("aria-label", this.row ? `${this.token("query", this.query)} attends to ${this.row.keys.length} keys; ${this.said.textContent}` : "");
    this.showParts();
    this.scrollTo(this.scroll);
    this.draw();
  }

  private select(token: number): void {
    this.model.select({ kind: "token", side: this.call.querySide, token, plane: 0 });
  }

  /** Whether the scores explain the weights, in words. */
  private explain(): string {
    const { call, row } = this;
    if (this.model.scene.before) return "Two pictures are compared: choose one of them to see its vectors.";
    const { vectors } = call;
    if (!vectors || !row) {
      return `The query and key vectors of ${call.site || "this layer"} are not in this picture. Capture them: headscape.capture(model, vectors=True)`;
    }
    if (vectors.scale === null) return "Scores are shown without their scale: it is not one number here, so they do not give the weights by themselves.";
    const gap = quantity(row.gap).replace("not captured", "NaN");
    if (row.gap <= (vectors.isExact ? ROUNDING : CODED_ROUNDING)) {
      return `score = ${quantity(vectors.scale)} × q·k; the softmax of these scores gives these weights (largest difference ${gap}).`;
    }
    return `The softmax of these scores differs from the weights by up to ${gap}: something is added or changed between (a bias, a sink, a cap), and the scores alone do not explain the weights.`;
  }

  private reach(): number {
    return Math.max(0, (this.order.length + 2) * ROW + AIR - this.canvas.clientHeight);
  }

  private scrollTo(y: number): boolean {
    const next = Math.max(0, Math.min(this.reach(), y));
    if (next === this.scroll) return false;
    this.scroll = next;
    this.draw();
    return true;
  }

  /** Left ends of the columns: label, key or query, product, score, weight; and the width of a column of cells. */
  private columns(): { key: number; product: number; score: number; weight: number; wide: number } {
    const width = this.canvas.clientWidth;
    const label = width < NARROW ? 70 : 104;
    const wide = Math.max(40, (width - label - 2 * NUMBER - 6 * AIR) / 2);
    const key = AIR + label + AIR;
    const product = key + wide + AIR;
    const score = product + wide + AIR;
    return { key, product, score, weight: score + NUMBER + AIR, wide };
  }

  private draw(): void {
    const { canvas, theme, row, call, over } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const context = sharpContext(canvas, width, height);
    const { vectors } = call;
    if (!context || !row || !vectors) return;
    const { head } = this;
    const columns = this.columns();
    const top = 2 * ROW - this.scroll;
    const query = queryVector(vectors, call, head, this.query - queryShift(call, this.model.scene.sides[call.querySide]!.tokens.length));
    const own = this.order.map((n) => ({ n, y: 0, cells: keyVector(vectors, call, head, row.keys[n]!) }));
    const parts = own.map(({ cells }) => cells.map((value, d) => value * query[d]! * (vectors.scale ?? 1)));
    const size = (all: readonly ArrayLike<number>[]) => all.reduce((most, cells) => Math.max(most, ...Array.from(cells, (value) => Math.abs(value) || 0)), 1e-30);
    const [most, mostPart] = [size([query, ...own.map(({ cells }) => cells)]), size(parts)];
    const mostWeight = Math.max(...row.weight, 1e-30);
    const chosen = this.pair();
    context.textBaseline = "middle";
    own.forEach(({ n, cells }, place) => {
      const y = top + place * ROW;
      if (y < ROW || y > height) return;
      const key = row.keys[n]!;
      if (chosen === n || over?.place === place) {
        context.fillStyle = theme.panel;
        context.fillRect(0, y, width, ROW);
      }
      this.text(context, this.token("key", key), columns.key - AIR, y, chosen === n ? theme.mark : theme.ink, "right");
      this.cells(context, cells, most, columns.key, y, columns.wide);
      this.cells(context, parts[place]!, mostPart, columns.product, y, columns.wide);
      this.text(context, Number.isFinite(row.score[n]!) ? signed(row.score[n]!) : "no vector", columns.score + NUMBER - 4, y, theme.ink, "right");
      context.fillStyle = theme.one;
      context.globalAlpha = 0.35;
      context.fillRect(columns.weight, y + 3, NUMBER * (row.weight[n]! / mostWeight), ROW - 6);
      context.globalAlpha = 1;
      this.text(context, quantity(row.weight[n]!, codeError(row.weight[n]!, call.code)), columns.weight + 3, y, theme.ink);
    });
    context.fillStyle = theme.paper;
    context.fillRect(0, 0, width, 2 * ROW - 2);
    for (const [text, x] of [["query, keys", columns.key], ["scale × q × k", columns.product], ["score", columns.score + 12], ["weight", columns.weight]] as const) {
      this.text(context, text, x, ROW, theme.soft);
    }
    this.text(context, this.token("query", this.query), columns.key - AIR, 0, theme.mark, "right");
    this.cells(context, query, most, columns.key, 0, columns.wide);
    if (over && over.d >= 0) {
      context.fillStyle = theme.mark;
      context.globalAlpha = 0.6;
      for (const left of [columns.key, columns.product]) context.fillRect(left + (over.d * columns.wide) / vectors.width, 0, 1, height);
      context.globalAlpha = 1;
    }
  }

  private text(context: CanvasRenderingContext2D, text: string, x: number, y: number, colour: string, align: CanvasTextAlign = "left"): void {
    context.font = LABEL_FONT;
    context.textAlign = align;
    context.fillStyle = colour;
    context.fillText(text, x, y + ROW / 2, align === "right" ? Math.max(NUMBER, x - AIR) : undefined);
  }

  /** A vector as cells: what is above 0 stands up, what is below hangs down, so that the sign is seen without colour. */
  private cells(context: CanvasRenderingContext2D, values: ArrayLike<number>, most: number, left: number, y: number, wide: number): void {
    const [middle, half] = [y + ROW / 2, ROW / 2 - 2];
    const step = wide / values.length;
    context.fillStyle = this.theme.line;
    context.fillRect(left, middle - 0.25, wide, 0.5);
    for (const sign of [1, -1]) {
      context.fillStyle = sign > 0 ? this.theme.plus : this.theme.minus;
      for (let d = 0; d < values.length; d++) {
        const share = (sign * values[d]!) / most;
        if (!(share > 0)) continue;
        context.globalAlpha = 0.35 + 0.65 * share;
        context.fillRect(left + d * step, sign > 0 ? middle - half * share : middle, Math.max(step - 0.6, 0.6), half * share);
      }
    }
    context.globalAlpha = 1;
  }

  /** Row and dimension at a point. */
  private at(x: number, y: number): { place: number; d: number } | null {
    const place = Math.floor((y + this.scroll) / ROW) - 2;
    if (!this.row || y < 2 * ROW || place >= this.order.length) return null;
    const columns = this.columns();
    const left = x >= columns.product ? columns.product : columns.key;
    const share = (x - left) / columns.wide;
    return { place, d: share >= 0 && share < 1 ? Math.floor(share * this.call.vectors!.width) : -1 };
  }

  private describe(): string {
    const { over, row, call } = this;
    if (!over || !row || !call.vectors) return "";
    const n = this.order[over.place]!;
    const key = row.keys[n]!;
    const pair = `${this.token("query", this.query)} → ${this.token("key", key)}: score ${quantity(row.score[n]!)}, weight ${quantity(row.weight[n]!, codeError(row.weight[n]!, call.code))}`;
    return over.d < 0 ? pair : `${pair}\n${this.part(key, over.d)}`;
  }

  private rowNumber(): number {
    return this.query - queryShift(this.call, this.model.scene.sides[this.call.querySide]!.tokens.length);
  }

  private part(key: number, d: number): string {
    const { call } = this;
    const { head } = this;
    const vectors = call.vectors!;
    const [q, k] = [queryVector(vectors, call, head, this.rowNumber())[d]!, keyVector(vectors, call, head, key)[d]!];
    return `dimension ${d}: ${quantity(vectors.scale ?? 1)} × ${quantity(q)} × ${quantity(k)} = ${signed((vectors.scale ?? 1) * q * k)}`;
  }

  /** Place in the row of the pair that is selected; -1 for none. */
  private pair(): number {
    const { selection, choice } = this.model;
    const isHere = selection?.kind === "edge" && selection.edge.call === choice.layer && selection.edge.query === this.query;
    return isHere && this.row ? this.row.keys.indexOf(selection.edge.key) : -1;
  }

  private choose(place: number): void {
    const key = this.row!.keys[this.order[place]!]!;
    this.model.select({ kind: "edge", edge: edgeOf(this.model, this.call, this.head, this.query, key) });
  }

  /** The dimensions of the selected pair that matter most, and what share of the score each gives. */
  private showParts(): void {
    const { row, call } = this;
    const n = this.pair();
    this.parts.hidden = n < 0;
    if (!row || !call.vectors || n < 0) return;
    const key = row.keys[n]!;
    const parts = products(call.vectors, call, this.head, this.rowNumber(), key);
    const order = Array.from(parts, (_, d) => d).sort((a, b) => Math.abs(parts[b]!) - Math.abs(parts[a]!));
    const largest = Math.abs(parts[order[0]!]!) || 1;
    const rest = order.slice(MOST_PARTS);
    const line = (name: string, value: number, title: string) =>
      ({ name, title, bar: signedBar(value / largest), value: `${signed(value)} · ${value < 0 !== row.score[n]! < 0 ? "−" : ""}${percent(Math.abs(value / row.score[n]!))}` });
    const sum = rest.reduce((total, d) => total + parts[d]!, 0);
    this.parts.replaceChildren(
      make("div", { class: "sentence" }, tokenText(this.token("query", this.query)), make("small", { text: "→" }), tokenText(this.token("key", key)),
        make("small", { text: `score ${signed(row.score[n]!)}: what each dimension adds, and its share` })),
      bars([...order.slice(0, MOST_PARTS).map((d) => line(`d ${d}`, parts[d]!, this.part(key, d))), ...(rest.length ? [line(`${rest.length} more`, sum, "all other dimensions together")] : [])]));
  }

  press(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey || event.composedPath()[0] instanceof HTMLSelectElement || !this.row) return false;
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return false;
    const now = this.order.indexOf(this.pair());
    const place = now < 0 ? 0 : Math.max(0, Math.min(this.order.length - 1, now + by));
    if (!this.order.length) return false;
    this.choose(place);
    const y = (place + 2) * ROW;
    if (y - this.scroll > this.canvas.clientHeight - ROW) this.scrollTo(y + 2 * ROW - this.canvas.clientHeight);
    else if (y - this.scroll < 2 * ROW) this.scrollTo(y - 2 * ROW);
    return true;
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.refresh("graph");
  }

  resize(): void {
    this.scrollTo(this.scroll);
    this.draw();
  }

  destroy(): void {
    this.over = null;
  }
}

export const makeNeuron = (model: Model, theme: Theme): CentreView => new Neuron(model, theme);
