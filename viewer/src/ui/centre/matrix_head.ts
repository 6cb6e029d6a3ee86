/** One head's attention, cell by cell. */

import { codeError, percent, quantity } from "../../maths/digits";
import { findEdge } from "../../scene/candidates";
import { cellAt, cellsOf, MASKED, UNKNOWN } from "../../scene/cells";
import { headFacts, sayFacts } from "../../scene/measures";
import { pairDetails } from "../../scene/pair";
import { rowWidth, weightAt } from "../../scene/rows";
import { button, isolate, labelOf, make } from "../element";
import { listenToGestures } from "../gestures";
import { heatLegend, heatLook } from "../heat";
import type { Model } from "../model";
import type { Theme } from "../theme";
import { placeTip } from "../tooltip";
import { drawMatrix, labelRoom, type Cell, type Frame, type Marks, type MatrixPicture } from "./matrix_canvas";
import type { CentreActions } from "./view";

// Pixels of a cell: at most so many where all cells are seen, and when zoomed in.
const LARGEST_FIT = 44;
const LARGEST = 96;
const LONGEST_LABEL = 132;
const EDGE_PX = 12; // free beside the cells
const ZOOM_STEP = 1.25;

export class MatrixHead {
  readonly element: HTMLElement;
  private readonly canvas = make("canvas", { class: "cells", attributes: { tabindex: "0", role: "img" } });
  private readonly room = make("div", { class: "cells-room" }, this.canvas);
  private readonly name = make("b");
  private readonly facts = make("p", { class: "formula" });
  private readonly legend = make("div", { class: "legend" });
  private readonly tip = make("div", { class: "tip", attributes: { hidden: "" } });
  private readonly stopGestures: () => void;
  private picture: MatrixPicture | null = null;
  private frame: Frame = { x: 0, y: 0, scale: 1, left: 0, top: 0, width: 0, height: 0 };
  private fitted = 1; // scale at which all cells are seen
  private pointer: Cell | null = null;
  private request = 0;

  constructor(private readonly model: Model, private theme: Theme, private readonly actions: CentreActions) {
    this.element = make("div", { class: "heads-view" },
      make("div", { class: "tools" },
        button({ class: "chip", text: "‹ all heads", title: "back to the pictures of all heads (Esc)", on: { click: () => model.choose({ matrix: "heads" }) } }),
        this.name, this.facts, this.legend),
      this.room, this.tip);
    this.stopGestures = listenToGestures(this.canvas, {
      turns: false,
      turn: () => {},
      shift: (dx, dy) => this.shift(dx, dy),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      point: (x, y) => this.point(this.cellUnder(x, y), x, y),
      leave: () => this.point(null, 0, 0),
      click: (x, y) => this.choose(this.cellUnder(x, y)),
      home: () => this.fit(),
    });
  }

  destroy(): void {
    this.stopGestures();
    cancelAnimationFrame(this.request);
  }

  focus(): void {
    this.canvas.focus();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.picture = null;
    if (this.element.isConnected) this.refresh();
  }

  /** Follow the head in focus, and what is selected. */
  refresh(): void {
    const { choice, scene } = this.model;
    const [shown, call] = [this.picture?.cells, scene.calls[choice.layer]];
    if (!call || (shown?.call === call && shown.head === choice.head)) {
      this.draw();
      return;
    }
    const cells = cellsOf(scene, call, choice.head);
    const known = headFacts(scene).find((one) => one.call === choice.layer && one.head === choice.head)!;
    const isChange = scene.before !== null;
    const look = heatLook(this.theme, this.theme.one, isChange);
    const [queries, keys] = [scene.sides[call.querySide]!, scene.sides[call.keySide]!];
    this.picture = {
      cells, look, theme: this.theme, largest: known.largest,
      rowLabels: cells.rows.map((query) => labelOf(queries.tokens[query + cells.shift]!)),
      columnLabels: cells.columns.map((key) => labelOf(keys.tokens[key]!)),
      names: queries === keys ? ["query", "key"] : [queries.name, keys.name],
    };
    const kept = call.kept && !isChange ? meanOf(call.kept.subarray(choice.head * call.queries), cells.rows) : 1;
    this.name.textContent = `${this.model.layerName(call.number)}, head ${choice.head}${known.isUniform ? ": uniform" : ""}`;
    this.facts.textContent = [
      (isChange ? "after − before: " : "") + sayFacts(known, isChange).join(" · "),
      call.isWhole ? "" : `${call.k} of ${call.keys} keys a row are kept${isChange ? "" : `, ${percent(kept)} of the attention`}`,
      call.sums, call.nanRows ? `${call.nanRows} rows of the layer hold NaN and are blank` : "",
    ].filter(Boolean).join(" · ");
    this.legend.replaceChildren(...heatLegend(look, isChange, known.largest, call.isWhole));
    this.canvas.setAttribute("aria-label", `${this.name.textContent}: ${cells.rows.length} queries, ${cells.columns.length} keys. ${this.facts.textContent}. Arrow keys move from cell to cell, Enter selects.`);
    this.point(null, 0, 0);
    this.resize();
  }

  resize(): void {
    const { clientWidth, clientHeight } = this.room;
    if (!this.picture || !clientWidth) return;
    const density = globalThis.devicePixelRatio || 1;
    this.canvas.width = Math.round(clientWidth * density);
    this.canvas.height = Math.round(clientHeight * density);
    const context = this.canvas.getContext("2d")!;
    const left = labelRoom(context, this.picture.rowLabels, 66, Math.min(LONGEST_LABEL, clientWidth / 4));
    const top = labelRoom(context, this.picture.columnLabels, 40, Math.min(LONGEST_LABEL, clientHeight / 4));
    this.frame = { ...this.frame, left, top, width: clientWidth - left - EDGE_PX, height: clientHeight - top - EDGE_PX };
    this.fit();
  }

  /** Show all cells, as large as they can be. */
  private fit(): void {
    const { rows, columns } = this.picture!.cells;
    this.fitted = Math.min(LARGEST_FIT, this.frame.width / columns.length, this.frame.height / rows.length);
    this.frame.scale = this.fitted;
    this.shift(0, 0);
  }

  private zoom(factor: number, x: number, y: number): void {
    const { frame } = this;
    const scale = Math.max(this.fitted, Math.min(LARGEST, frame.scale * factor));
    frame.x += (x - frame.left) * (1 / frame.scale - 1 / scale);
    frame.y += (y - frame.top) * (1 / frame.scale - 1 / scale);
    frame.scale = scale;
    this.shift(0, 0);
  }

  private shift(dx: number, dy: number): void {
    const { frame } = this;
    const { rows, columns } = this.picture!.cells;
    // What lies under the pointer stays there, also where the cells are narrower than their room.
    const within = (first: number, length: number) => Math.max(0, Math.min(first, length * (1 - this.fitted / frame.scale)));
    frame.x = within(frame.x - dx / frame.scale, columns.length);
    frame.y = within(frame.y - dy / frame.scale, rows.length);
    this.tip.hidden = true;
    this.draw();
  }

  private cellUnder(x: number, y: number): Cell | null {
    const { frame } = this;
    const { rows, columns } = this.picture!.cells;
    const column = x < frame.left ? -1 : Math.floor(frame.x + (x - frame.left) / frame.scale);
    const row = y < frame.top ? -1 : Math.floor(frame.y + (y - frame.top) / frame.scale);
    return column < columns.length && row < rows.length && row + column > -2 ? { row, column } : null;
  }

  private point(cell: Cell | null, x: number, y: number): void {
    this.pointer = cell;
    this.draw();
    this.tip.hidden = !cell || cell.row < 0 || cell.column < 0;
    if (!cell || this.tip.hidden) return;
    this.tip.textContent = this.describe(cell).join("\n");
    placeTip(this.tip, this.element, x + this.room.offsetLeft, y + this.room.offsetTop);
  }

  /** A cell in words: both tokens, its number, its place in the row. */
  private describe(cell: Cell): string[] {
    const { cells } = this.picture!;
    const { call, head } = cells;
    const { scene } = this.model;
    const [query, key] = [cells.rows[cell.row]!, cells.columns[cell.column]!];
    const token = (side: number, n: number) => `${isolate(labelOf(scene.sides[side]!.tokens[n]!, 30))} (${n})`;
    const write = (value: number) => quantity(value, codeError(value, call.code));
    const first = `${token(call.querySide, query + cells.shift)} → ${token(call.keySide, key)}`;
    const row = head * call.queries + query;
    const weight = cellAt(cells, query, key);
    if (Number.isNaN(call.entropy[row])) return [first, "this row holds NaN"];
    if (weight === MASKED) return [first, "masked: the query does not see this key"];
    const width = rowWidth(call);
    const weights = call.weight.subarray(row * width, (row + 1) * width);
    if (scene.before) {
      const [old, now] = [scene.before, scene.after!].map((one) => weightAt(one.calls[call.number]!, head, query, key)) as [number, number];
      return [first, `${write(old)} → ${write(now)}`, weight > 0 ? `${now < old ? "fell" : "rose"} by ${write(weight)}` : ""];
    }
    if (weight === UNKNOWN) return [first, `not kept: at most ${write(Math.min(...weights.filter((w) => w > 0)))}, the least of its row`];
    const { lift, visible, rank } = pairDetails(scene, { call: call.number, head, query: query + cells.shift, key });
    return [
      first,
      `weight ${write(weight)} · × ${quantity(lift, codeError(weight, call.code) * visible)} uniform`,
      `rank ${rank} of the ${visible} keys that the row sees`,
      call.isWhole || !call.kept ? `the row sums to ${quantity(weights.reduce((a, b) => a + b, 0), 5e-5)}` : `the row's kept keys hold ${percent(call.kept[row]!)}`,
    ];
  }

  /** Select the edge of a cell, or the token of a label. */
  private choose(cell: Cell | null): void {
    const { model } = this;
    const { cells: { call, head, rows, columns, shift } } = this.picture!;
    this.canvas.focus();
    if (!cell) {
      model.select(null);
      return;
    }
    const [query, key] = [rows[cell.row]! + shift, columns[cell.column]!];
    if (cell.column < 0) model.select({ kind: "token", side: call.querySide, token: query, plane: call.plane });
    else if (cell.row < 0) model.select({ kind: "token", side: call.keySide, token: key, plane: Math.min(call.plane, model.scene.sides[call.keySide]!.planes - 1) });
    else {
      const edge = findEdge(model.graph.parts, { call: call.number, head, query, key });
      if (edge) model.select({ kind: "edge", edge });
      else this.actions.say(this.describe(cell).join(", "));
    }
  }

  press(event: KeyboardEvent): boolean {
    const { frame } = this;
    const { rows, columns } = this.picture!.cells;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (step) {
      const now = this.pointer ?? this.marks().cell ?? { row: -step[0]!, column: -step[1]! };
      const cell = {
        row: Math.max(0, Math.min(rows.length - 1, now.row + step[0]!)), column: Math.max(0, Math.min(columns.length - 1, now.column + step[1]!)),
      };
      const into = (from: number, n: number, room: number) => Math.min(n, Math.max(from, n + 1 - Math.floor(room / frame.scale)));
      [frame.x, frame.y] = [into(frame.x, cell.column, frame.width), into(frame.y, cell.row, frame.height)];
      this.shift(0, 0);
      this.point(cell, frame.left + (cell.column + 0.5 - frame.x) * frame.scale, frame.top + (cell.row + 0.5 - frame.y) * frame.scale);
      this.actions.say(this.describe(cell).join(", "));
      return true;
    }
    switch (event.key) {
      case "Enter":
        if (!this.pointer || event.composedPath()[0] instanceof HTMLButtonElement) return false;
        this.choose(this.pointer);
        return true;
      case "Escape":
        if (this.model.selection) return false;
        this.model.choose({ matrix: "heads" });
        return true;
      case "+":
      case "=":
      case "-":
        this.zoom(event.key === "-" ? 1 / ZOOM_STEP : ZOOM_STEP, frame.left + frame.width / 2, frame.top + frame.height / 2);
        return true;
      case "0":
      case "Home":
        this.fit();
        return true;
    }
    return false;
  }

  /** What a selection is in these cells. */
  private marks(): Marks {
    const { cells: { call, rows, columnOf, head, shift } } = this.picture!;
    const { selection } = this.model;
    const place = (query: number, key: number) => ({ row: rows.indexOf(query - shift), column: columnOf[key] ?? -1 });
    const token = { row: -1, column: -1 };
    let cell: Cell | null = null;
    if (selection?.kind === "token") {
      const at = place(selection.token, selection.token);
      if (selection.side === call.querySide) token.row = at.row;
      if (selection.side === call.keySide) token.column = at.column;
    } else if (selection?.kind === "edge" && selection.edge.call === call.number && selection.edge.head === head) {
      cell = place(selection.edge.query, selection.edge.key);
    }
    return { token, cell, pointer: this.pointer };
  }

  private draw(): void {
    this.request ||= requestAnimationFrame(() => {
      this.request = 0;
      const context = this.canvas.getContext("2d");
      if (!context || !this.picture || this.frame.width <= 0) return;
      const density = this.canvas.width / Math.max(this.room.clientWidth, 1);
      context.setTransform(density, 0, 0, density, 0, 0);
      context.clearRect(0, 0, this.canvas.width, this.canvas.height);
      drawMatrix(context, this.picture, this.frame, this.marks(), density);
    });
  }
}

function meanOf(values: Float32Array, places: readonly number[]): number {
  return places.reduce((sum, n) => sum + values[n]!, 0) / places.length;
}
