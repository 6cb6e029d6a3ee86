/** Head view: the tokens of one layer in two columns, a line from each query to each key, coloured by head. */

import { placeLabels } from "../../maths/boxes";
import { codeError, plural, quantity } from "../../maths/digits";
import { drawnHeads, hueOfHead } from "../../scene/choice";
import type { Edge } from "../../scene/edges";
import { queryShift, weightAt } from "../../scene/rows";
import { scaleEdges } from "../../scene/scales";
import { FILTERS, passes, secondSentence, type Filter } from "../../scene/segments";
import type { CallData } from "../../wire/scene";
import { labelOf, make } from "../element";
import { LABEL_FONT } from "../labels";
import type { Change, Model, Selection } from "../model";
import { segments } from "../segments";
import { headColour, type Theme } from "../theme";
import { HEADROOM, layHeads, realFrom, rowOf, tokenAt, type Column, type HeadsLayout } from "./heads_layout";
import { drawLines, STEPS, type Line } from "./lines";
import { HeadChips, layerPicker, sharpContext } from "./pane";
import type { CentreView } from "./view";

// Heads that have a bar beside a token; the side panel has all.
const MOST_BARS = 16;
const MOST_LABELS = 600;
const NEAR_PX = 4;
const MOST_ZOOM = 64;
// Lines of one token that the threshold hides: all but those that are nearly nothing.
const LEAST_SHARE = 0.02;
const MANY_LINES = 1500; // from which on lines are thinner
const NAMED_SHARE = 0.2; // from which on they name their other end

type End = "query" | "key";
/** What stands out: a token with its end, or one edge. */
type Focus = { end: End; token: number } | { edge: Edge };
/** An edge that the threshold hides. */
type Below = { query: number; key: number; head: number; share: number };

class Heads implements CentreView {
  readonly element: HTMLElement;
  private readonly bar = make("div", { class: "pane-bar" });
  private readonly chips: HeadChips;
  private readonly note = make("span", { class: "note", attributes: { role: "status" } });
  private readonly canvas = make("canvas", { class: "pane-canvas", attributes: { role: "img", tabindex: "0" } });
  private filter: Filter = "all";
  private second = -1;
  private readonly filters = segments<Filter>(
    (Object.keys(FILTERS) as Filter[]).map((value) => ({ value, label: FILTERS[value], title: "lines from the first (A) or second (B) sentence to either" })),
    (filter) => {
      this.filter = filter;
      this.refresh("graph");
    }, "sentences");
  private end: End = "query"; // of a token that stands on both sides
  private layout!: HeadsLayout;
  private lines: number[] = []; // places in the order of the edges, strongest first
  private strength: Float32Array = new Float32Array();
  private view = { zoom: 1, scroll: 0 };
  private request = 0;

  constructor(private readonly model: Model, private theme: Theme) {
    this.chips = new HeadChips(model);
    this.element = make("div", { class: "pane" }, this.bar, this.canvas);
    const at = (event: MouseEvent): [number, number] => [event.offsetX, event.offsetY];
    this.canvas.addEventListener("pointermove", (event) => this.hover(this.pick(...at(event))));
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    this.canvas.addEventListener("click", (event) => model.select(this.found(this.pick(...at(event)))));
    this.canvas.addEventListener("wheel", (event) => {
      if (!this.move(event.ctrlKey ? Math.exp(-event.deltaY / 300) : 1, event.ctrlKey ? 0 : event.deltaY, event.offsetY)) return;
      event.preventDefault();
    }, { passive: false });
  }

  private get call(): CallData {
    return this.model.scene.calls[this.model.choice.layer]!;
  }

  private heads(): number[] {
    const { choice } = this.model;
    return drawnHeads({ ...choice, layersOff: new Set() }, this.call.number, this.call.heads);
  }

  refresh(change: Change): void {
    if (!this.call) return;
    if (change === "scene" || change === "graph") this.build();
    if (change !== "selection") this.collect();
    this.draw();
  }

  private build(): void {
    const { model, call } = this;
    const side = model.scene.sides[call.querySide]!;
    this.second = call.querySide === call.keySide ? secondSentence(side.tokens, side.padded) : -1;
    if (this.second < 0) this.filter = "all";
    this.filters.choose(this.filter);
    this.chips.refresh(this.theme, call, this.heads());
    this.bar.replaceChildren(layerPicker(model), this.chips.element, ...(this.second < 0 ? [] : [this.filters.element]), this.note);
    this.canvas.setAttribute("aria-label", `Head view, ${model.layerName(call.number)}: lines from queries on the left to keys on the right`);
  }

  /** Collect the lines: shown edges that pass the filter. */
  private collect(): void {
    const { model, filter, second } = this;
    const { edges } = model.order;
    const count = Math.min(model.shown(), edges.length);
    this.strength = scaleEdges(model.choice.scale, edges, count);
    this.lines = Array.from({ length: count }, (_, n) => n).filter((n) => passes(filter, second, edges.query[n]!, edges.key[n]!));
    const without = count - this.lines.length;
    this.note.textContent = `${plural(this.lines.length, "line")}${without ? `, ${without} more between other sentences` : ""}`;
  }

  /** What stands out: what is under the pointer, or else what is selected. */
  private focus(): Focus | null {
    const { model, call } = this;
    const now = model.hover ?? model.selection;
    if (now?.kind === "edge" && now.edge.call === call.number) return { edge: now.edge };
    if (now?.kind !== "token") return null;
    const ends = (["query", "key"] as const).filter((end) => call[`${end}Side`] === now.side && this.layout[end].place.has(now.token));
    const end = ends.includes(this.end) ? this.end : ends[0];
    return end ? { end, token: now.token } : null;
  }

  private lay(context: CanvasRenderingContext2D): void {
    const { call, model } = this;
    const { sides } = model.scene;
    const { tokens, padded } = sides[call.querySide]!;
    context.font = LABEL_FONT;
    const widest = [call.querySide, call.keySide].flatMap((side) => sides[side]!.tokens.slice(0, MOST_LABELS))
      .reduce((most, text) => Math.max(most, text.length < 40 ? context.measureText(labelOf(text)).width : 0), 0);
    this.layout = layHeads(realFrom(padded, queryShift(call, tokens.length)), realFrom(sides[call.keySide]!.padded, 0), {
      width: this.canvas.clientWidth, height: this.canvas.clientHeight, label: Math.ceil(widest) + 4,
      heads: Math.min(MOST_BARS, this.heads().length), ...this.view,
    });
    this.view.scroll = Math.max(0, Math.min(this.view.scroll, this.layout.reach));
  }

  private draw(): void {
    const { canvas, theme } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const context = sharpContext(canvas, width, height);
    if (!context) return;
    this.lay(context);
    const focus = this.focus();
    const below = focus && !("edge" in focus) ? this.findBelow(focus) : [];
    context.save();
    context.beginPath();
    context.rect(0, HEADROOM - 16, width, height);
    context.clip();
    this.drawLines(context, focus, below);
    if (focus && !("edge" in focus)) this.drawBars(context, focus);
    context.restore();
    this.drawLabels(context, focus, below);
    context.fillStyle = theme.soft;
    context.font = "11px system-ui, sans-serif";
    const { sides } = this.model.scene;
    for (const [end, align] of [["query", "right"], ["key", "left"]] as const) {
      const { name } = sides[this.call[`${end}Side`]]!;
      context.textAlign = align;
      context.fillText(name === "tokens" ? end : `${end}: ${name}`, this.layout[end].x, 12);
    }
  }

  private drawLines(context: CanvasRenderingContext2D, focus: Focus | null, below: readonly Below[]): void {
    const { theme, layout, model, call } = this;
    const { edges } = model.order;
    const lines: Line[] = [];
    const add = (query: number, key: number, hex: string, level: number, width: number, alpha: number) =>
      lines.push({ from: rowOf(layout, layout.query, query), to: rowOf(layout, layout.key, key), hex, level, width, alpha });
    const hue = (head: number) => headColour(theme, hueOfHead(model.choice, head, call.heads));
    const isToken = focus !== null && !("edge" in focus);
    for (const { query, key, head, share } of below) add(query, key, hue(head), Math.floor(share * (STEPS - 1)), 0.8, 0.7);
    const wide = 2.6 * Math.min(1, Math.sqrt(MANY_LINES / this.lines.length));
    for (const n of this.lines) {
      if (isToken && edges[focus.end][n] !== focus.token) continue;
      const rose = edges.sign[n]!;
      const hex = rose ? (rose > 0 ? theme.plus : theme.minus) : hue(edges.head[n]!);
      const level = Math.min(STEPS - 1, Math.floor(this.strength[n]! * STEPS));
      add(edges.query[n]!, edges.key[n]!, hex, level, 0.6 + ((isToken ? 2.6 : wide) * level) / STEPS, focus && !isToken ? 0.15 : 0.55 + (0.45 * level) / STEPS);
    }
    const gap = { left: layout.query.x, width: layout.key.x - layout.query.x, top: HEADROOM, height: this.canvas.clientHeight - HEADROOM };
    drawLines(context, lines, gap, theme);
    if (!focus || !("edge" in focus)) return;
    const [from, to] = [rowOf(layout, layout.query, focus.edge.query), rowOf(layout, layout.key, focus.edge.key)];
    drawLines(context, [{ from, to, hex: theme.mark, level: STEPS - 1, width: 3, alpha: 1 }], gap, theme);
  }

  /** Weight of a token's pair with a token at the other end; NaN where it was not kept. */
  private weight(focus: { end: End; token: number }, head: number, other: number): number {
    const [query, key] = focus.end === "query" ? [focus.token, other] : [other, focus.token];
    return weightAt(this.call, head, query - queryShift(this.call, this.model.scene.sides[this.call.querySide]!.tokens.length), key);
  }

  /** Pairs of a token that the threshold hides, with their share of the largest of them. */
  private findBelow(focus: { end: End; token: number }): Below[] {
    const { order, choice, graph } = this.model;
    if (choice.heads === "mean") return [];
    const other = focus.end === "query" ? "key" : "query";
    const { edges } = order;
    const shown = new Set(this.lines.filter((n) => edges[focus.end][n] === focus.token).map((n) => `${edges.head[n]!} ${edges[other][n]!}`));
    const hidden = graph.ground.hidden[this.call.keySide]!;
    const found: Below[] = [];
    for (const head of this.heads()) {
      for (const token of this.layout[other].tokens) {
        const [query, key] = focus.end === "query" ? [focus.token, token] : [token, focus.token];
        const share = this.weight(focus, head, token);
        if (!(share > 0) || hidden[key] || shown.has(`${head} ${token}`) || !passes(this.filter, this.second, query, key)) continue;
        found.push({ query, key, head, share });
      }
    }
    const most = found.reduce((all, { share }) => Math.max(all, share), 0);
    return found.map((one) => ({ ...one, share: one.share / most })).filter(({ share }) => share > LEAST_SHARE);
  }

  /** Weights of one token's pairs, each head a bar beside the token at the other end. */
  private drawBars(context: CanvasRenderingContext2D, focus: { end: End; token: number }): void {
    const { layout, call, theme, model } = this;
    const heads = this.heads().slice(0, MOST_BARS);
    const other = focus.end === "query" ? layout.key : layout.query;
    const weight = (head: number, token: number) => this.weight(focus, head, token);
    const most = heads.reduce((all, head) => other.tokens.reduce((top, token) => Math.max(top, weight(head, token) || 0), all), 1e-30);
    const left = focus.end === "query" ? other.x + layout.label + 8 : other.x - layout.label - 8 - layout.cell * heads.length;
    const thick = Math.max(0.7, other.step - Math.min(4, 0.2 * other.step));
    for (const token of other.tokens) {
      const y = rowOf(layout, other, token);
      if (y < HEADROOM - 4 || y > this.canvas.clientHeight) continue;
      heads.forEach((head, n) => {
        context.fillStyle = theme.line;
        context.fillRect(left + n * layout.cell, y - thick / 2, 0.7, thick);
        context.fillStyle = headColour(theme, hueOfHead(model.choice, head, call.heads));
        context.fillRect(left + n * layout.cell, y - thick / 2, (layout.cell - 1) * ((weight(head, token) || 0) / most), thick);
      });
    }
    context.fillStyle = theme.soft;
    context.font = "11px system-ui, sans-serif";
    const isRight = focus.end === "query";
    context.textAlign = isRight ? "right" : "left";
    context.fillText(`longest ${quantity(most, codeError(most, call.code))}`, isRight ? this.canvas.clientWidth - 5 : 5, this.canvas.clientHeight - 3);
    context.textAlign = "center";
    context.font = "9px system-ui, sans-serif";
    if (layout.cell > 8) heads.forEach((head, n) => context.fillText(String(head), left + (n + 0.5) * layout.cell, HEADROOM - 6));
  }

  private drawLabels(context: CanvasRenderingContext2D, focus: Focus | null, below: readonly Below[]): void {
    const { layout, call, model, theme } = this;
    const ends = { query: new Set<number>(), key: new Set<number>() };
    const { edges } = model.order;
    if (focus && "edge" in focus) {
      ends.query.add(focus.edge.query);
      ends.key.add(focus.edge.key);
    } else if (focus) {
      const other = focus.end === "query" ? "key" : "query";
      ends[focus.end].add(focus.token);
      for (const n of this.lines) if (edges[focus.end][n] === focus.token) ends[other].add(edges[other][n]!);
      for (const one of below) if (one.share > NAMED_SHARE) ends[other].add(one[other]);
    }
    const isOwn = (end: End, token: number) => focus !== null && ("edge" in focus ? ends[end].has(token) : focus.end === end && focus.token === token);
    const wishes = (["query", "key"] as const).flatMap((end) => {
      const column: Column = layout[end];
      const side = call[`${end}Side`];
      return column.tokens.map((token) => {
        context.font = LABEL_FONT;
        const text = labelOf(model.scene.sides[side]!.tokens[token]!);
        const measured = Math.min(layout.label, Math.ceil(context.measureText(text).width));
        const y = rowOf(layout, column, token);
        const left = end === "query" ? column.x - 6 - measured : column.x + 6;
        const priority = (isOwn(end, token) ? 200 : ends[end].has(token) ? 100 : 0) + (model.received.tokens[side]![token] ?? 0) / 100;
        return { text, width: measured, height: Math.min(13, Math.max(11, column.step - 2)), priority, spots: [[left, y - 6.5] as const], y, end, token };
      });
    }).filter(({ y }) => y > HEADROOM - 6);
    context.textBaseline = "middle";
    for (const { wish: n } of placeLabels(wishes, this.canvas.clientWidth, this.canvas.clientHeight, MOST_LABELS)) {
      const { text, y, end, token } = wishes[n]!;
      const isLit = !focus || ends[end].has(token);
      context.globalAlpha = isLit ? 1 : 0.45;
      context.font = isOwn(end, token) ? `600 ${LABEL_FONT}` : LABEL_FONT;
      context.fillStyle = isOwn(end, token) ? theme.mark : theme.ink;
      context.textAlign = end === "query" ? "right" : "left";
      context.fillText(text, layout[end].x + (end === "query" ? -6 : 6), y, layout.label);
    }
    context.globalAlpha = 1;
    context.textBaseline = "alphabetic";
  }

  /** What lies at a point: a token of a column, or the strongest line near it. */
  private pick(x: number, y: number): Focus | null {
    const { layout, model } = this;
    if (!this.call || !layout) return null;
    for (const end of ["query", "key"] as const) {
      const column = layout[end];
      if (end === "query" ? x > column.x - 2 : x < column.x + 2) continue;
      const token = tokenAt(layout, column, y);
      return token === null ? null : { end, token };
    }
    const t = (x - layout.query.x) / (layout.key.x - layout.query.x);
    const { edges } = model.order;
    for (const n of this.lines) {
      const [from, to] = [rowOf(layout, layout.query, edges.query[n]!), rowOf(layout, layout.key, edges.key[n]!)];
      const slope = Math.hypot(1, (to - from) / (layout.key.x - layout.query.x));
      if (Math.abs(from + t * (to - from) - y) / slope < NEAR_PX) return { edge: edges.at(n) };
    }
    return null;
  }

  private found(focus: Focus | null): Selection | null {
    if (!focus) return null;
    if ("edge" in focus) return { kind: "edge", edge: focus.edge };
    this.end = focus.end;
    const side = this.call[`${focus.end}Side`];
    return { kind: "token", side, token: focus.token, plane: focus.end === "query" && side !== this.call.keySide ? this.call.plane : 0 };
  }

  private hover(focus: Focus | null): void {
    cancelAnimationFrame(this.request);
    this.request = requestAnimationFrame(() => {
      const end = this.end;
      const now = this.found(focus);
      this.canvas.dataset["over"] = now ? "yes" : "no";
      if (end !== this.end || JSON.stringify(now) !== JSON.stringify(this.model.hover)) this.model.preview(now);
    });
  }

  /** Zoom about a height, and scroll; returns whether anything moved. */
  private move(zoom: number, scroll: number, y = 0): boolean {
    const { view, layout } = this;
    const now = Math.max(1, Math.min(MOST_ZOOM, view.zoom * zoom));
    const at = Math.max(0, y - HEADROOM);
    const want = (view.scroll + at) * (now / view.zoom) - at + scroll;
    const next = { zoom: now, scroll: zoom === 1 ? Math.max(0, Math.min(layout.reach, want)) : want };
    if (next.zoom === view.zoom && next.scroll === view.scroll) return false;
    this.view = next;
    this.draw();
    return true;
  }

  press(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey || event.composedPath()[0] instanceof HTMLSelectElement || !this.layout) return false;
    switch (event.key) {
      case "+":
      case "=":
        return this.move(1.25, 0, this.canvas.clientHeight / 2);
      case "-":
        return this.move(0.8, 0, this.canvas.clientHeight / 2);
      case "Home":
      case "0":
        this.view = { zoom: 1, scroll: 0 };
        this.draw();
        return true;
      case "ArrowLeft":
      case "ArrowRight":
        this.end = event.key === "ArrowLeft" ? "query" : "key";
        this.step(0);
        return true;
      case "ArrowUp":
      case "ArrowDown":
        this.step(event.key === "ArrowUp" ? -1 : 1);
        return true;
    }
    return false;
  }

  /** Select the next token of a column. */
  private step(by: number): void {
    const { selection } = this.model;
    const { tokens, place } = this.layout[this.end];
    const at = selection?.kind === "token" ? (place.get(selection.token) ?? 0) + by : 0;
    const token = tokens[(at + tokens.length) % tokens.length];
    if (token !== undefined) this.model.select(this.found({ end: this.end, token }));
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.refresh("graph");
  }

  resize(): void {
    this.draw();
  }

  destroy(): void {
    cancelAnimationFrame(this.request);
  }
}

export const makeHeads = (model: Model, theme: Theme): CentreView => new Heads(model, theme);
