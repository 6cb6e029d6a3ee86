/** The navigator: a small picture of every head's attention; one click shows that head alone. */

import { drawnHeads, hueOfHead, MOST_HUES } from "../scene/choice";
import { rowWidth } from "../scene/rows";
import type { CallData } from "../wire/scene";
import { button, make } from "./element";
import type { Model } from "./model";
import { headColour, heatTable, type Theme } from "./theme";

// Pixels of a thumbnail; longer texts are reduced to the largest weight of each block.
const MOST_PIXELS = 32;
const LEAST_CELL = 11;
const LARGEST_CELL = 27;
const ROOM_PX = 168;
// Pictures of heads; a larger matrix has plain cells.
const MOST_PICTURES = 6000;

export class Matrix {
  readonly element = make("div");
  private readonly cells = new Map<string, HTMLButtonElement>();
  private rows: HTMLButtonElement[] = [];
  private columns: HTMLButtonElement[] = [];

  constructor(private readonly model: Model, private theme: Theme) {}

  /** Build anew: another frame, or another theme. */
  build(theme: Theme): void {
    this.theme = theme;
    const { model } = this;
    const { calls } = model.scene;
    const heads = Math.max(0, ...calls.map((call) => call.heads));
    const size = Math.max(LEAST_CELL, Math.min(LARGEST_CELL, Math.floor(ROOM_PX / Math.max(heads, 1)) - 2));
    const grid = make("div", { class: "matrix", style: { "grid-template-columns": `30px repeat(${heads}, ${size}px)` } });
    this.cells.clear();
    grid.append(make("span"));
    this.columns = Array.from({ length: heads }, (_, head) => this.headButton(head, heads));
    this.rows = calls.map((call) => this.layerButton(call));
    grid.append(...this.columns);
    const tables = new Map<string, Uint8Array>();
    const isPictured = calls.length * heads <= MOST_PICTURES;
    for (const call of calls) {
      grid.append(this.rows[call.number]!);
      for (let head = 0; head < heads; head++) {
        if (head >= call.heads) {
          grid.append(make("span"));
          continue;
        }
        const colour = headColour(theme, heads <= MOST_HUES ? head : -1);
        let table = tables.get(colour);
        if (!table) tables.set(colour, (table = heatTable(theme, colour)));
        const cell = this.cellButton(call, head, isPictured ? table : null);
        this.cells.set(`${call.number} ${head}`, cell);
        grid.append(cell);
      }
    }
    this.element.replaceChildren(grid);
    this.refresh();
  }

  private headButton(head: number, heads: number): HTMLButtonElement {
    const { model } = this;
    const few = heads <= MOST_HUES;
    return button({
      class: "head-name", text: String(head),
      title: few ? `Head ${head}: show or hide in all layers` : `Head ${head}: give it a colour (up to ${MOST_HUES})`,
      label: few ? `show head ${head}` : `colour head ${head}`,
      on: {
        click: () => {
          const chosen = new Set(model.choice.chosenHeads);
          if (!chosen.delete(head) && chosen.size < Math.max(MOST_HUES, few ? heads : 0)) chosen.add(head);
          if (few && chosen.size === 0) return; // the last head stays
          model.choose({ chosenHeads: chosen, solo: null });
        },
      },
    });
  }

  private layerButton(call: CallData): HTMLButtonElement {
    const { model } = this;
    const mark = call.kind === "cross" ? "×" : "";
    return button({
      class: "row-name", text: `L${call.layer}${mark}`,
      title: `${model.layerName(call.number)} (${call.site}): show or hide`, label: `L${call.layer}${mark}: show ${model.layerName(call.number)}`,
      on: {
        click: () => {
          if (model.choice.view === "layer") {
            model.choose({ layer: call.number, solo: null });
            return;
          }
          const off = new Set(model.choice.layersOff);
          if (!off.delete(call.number)) off.add(call.number);
          if (off.size < model.scene.calls.length) model.choose({ layersOff: off, solo: null });
        },
      },
    });
  }

  private cellButton(call: CallData, head: number, table: Uint8Array | null): HTMLButtonElement {
    const { model } = this;
    return button({
      class: "cell", title: `${model.layerName(call.number)}, head ${head}: show it alone`,
      label: `${model.layerName(call.number)}, head ${head} alone`,
      on: {
        click: () => {
          const { solo } = model.choice;
          const isSame = solo?.call === call.number && solo.head === head;
          model.choose(isSame ? { solo: null } : { solo: { call: call.number, head }, layer: call.number });
        },
      },
    }, table && thumbnail(call, head, table));
  }

  /** Follow the choices. */
  refresh(): void {
    const { choice, scene } = this.model;
    const heads = this.columns.length;
    const few = heads <= MOST_HUES;
    this.columns.forEach((element, head) => {
      const isChosen = choice.chosenHeads.has(head);
      const hue = hueOfHead(choice, head, heads);
      element.setAttribute("aria-pressed", String(isChosen));
      element.style.setProperty("--hue", few || hue >= 0 ? headColour(this.theme, hue) : this.theme.line);
      element.dataset["plain"] = few ? "no" : "yes";
    });
    scene.calls.forEach((call, n) => {
      const drawn = new Set(drawnHeads(choice, call.number, call.heads));
      const isHere = choice.view !== "layer" || choice.layer === call.number;
      const row = this.rows[n];
      row?.setAttribute("aria-pressed", String(choice.view === "layer" || drawn.size > 0));
      if (row) row.dataset["here"] = choice.view === "layer" && isHere ? "yes" : "no";
      for (let head = 0; head < call.heads; head++) {
        const cell = this.cells.get(`${call.number} ${head}`);
        if (!cell) continue;
        cell.dataset["off"] = drawn.has(head) && isHere ? "no" : "yes";
        cell.setAttribute("aria-pressed", String(choice.solo?.call === call.number && choice.solo.head === head));
      }
    });
  }
}

/** Draw a head's weights, rows down and keys across. */
function thumbnail(call: CallData, head: number, table: Uint8Array): HTMLCanvasElement {
  const [height, width] = [Math.min(call.queries, MOST_PIXELS), Math.min(call.keys, MOST_PIXELS)];
  const canvas = make("canvas", { attributes: { "aria-hidden": "true" } });
  canvas.width = Math.max(width, 1);
  canvas.height = Math.max(height, 1);
  const context = canvas.getContext("2d");
  if (!context || !width || !height) return canvas;
  const largest = new Float32Array(width * height);
  const row = rowWidth(call);
  for (let query = 0; query < call.queries; query++) {
    const y = Math.floor((query * height) / call.queries);
    const at = (head * call.queries + query) * row;
    for (let n = 0; n < row; n++) {
      const key = call.key ? call.key[at + n]! : n;
      if (key < 0) continue;
      const cell = y * width + Math.floor((key * width) / call.keys);
      largest[cell] = Math.max(largest[cell]!, call.weight[at + n]!);
    }
  }
  const image = context.createImageData(width, height);
  largest.forEach((weight, n) => {
    const step = Math.min(255, Math.round(255 * 1.15 * Math.sqrt(weight)));
    image.data.set([table[3 * step]!, table[3 * step + 1]!, table[3 * step + 2]!, 255], 4 * n);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}
