/** The navigator: a small picture of every head's attention; one click shows that head alone. */

import { drawnHeads, GRAPH_VIEWS, hueOfHead, MOST_HUES, toggledHeads, type ViewName } from "../scene/choice";
import { headFacts, sayFacts, type HeadFacts } from "../scene/measures";
import type { CallData } from "../wire/scene";
import { button, make } from "./element";
import { heatLook, Thumbnails, type HeatLook } from "./heat";
import type { Model } from "./model";
import { headColour, type Theme } from "./theme";

const LEAST_CELL = 11;
const LARGEST_CELL = 27;
const ROOM_PX = 168;
// Width of a digit of a head's number, and what two numbers stay apart.
const DIGIT_PX = 6;
const APART_PX = 4;

export class Matrix {
  readonly element = make("div");
  private readonly cells = new Map<string, HTMLButtonElement>();
  private rows: HTMLButtonElement[] = [];
  private columns: HTMLButtonElement[] = [];
  private readonly pictures = new Thumbnails();

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
    const every = Math.ceil((DIGIT_PX * String(heads - 1).length + APART_PX) / (size + 2));
    this.columns = Array.from({ length: heads }, (_, head) => this.headButton(head, heads, head % every === 0));
    this.rows = calls.map((call) => this.layerButton(call));
    grid.append(...this.columns);
    const looks = new Map<string, HeatLook>();
    const facts = headFacts(model.scene);
    const largest = Math.max(...facts.map((one) => one.largest));
    let n = 0;
    this.pictures.clear();
    for (const call of calls) {
      grid.append(this.rows[call.number]!);
      for (let head = 0; head < heads; head++) {
        if (head >= call.heads) {
          grid.append(make("span"));
          continue;
        }
        const colour = headColour(theme, heads <= MOST_HUES ? head : -1);
        let look = looks.get(colour);
        if (!look) looks.set(colour, (look = heatLook(theme, colour, model.scene.before !== null)));
        const cell = this.cellButton(call, facts[n++]!, look, largest);
        this.cells.set(`${call.number} ${head}`, cell);
        grid.append(cell);
      }
    }
    this.element.replaceChildren(grid);
    this.refresh();
  }

  private headButton(head: number, heads: number, isWritten: boolean): HTMLButtonElement {
    const { model } = this;
    const few = heads <= MOST_HUES;
    return button({
      class: "head-name", text: isWritten ? String(head) : "",
      title: few ? `Head ${head}: show or hide in all layers` : `Head ${head}: give it a colour (up to ${MOST_HUES})`,
      label: few ? `show head ${head}` : `colour head ${head}`,
      on: {
        click: () => model.choose({ ...toggledHeads(model.choice, head, heads), solo: null }),
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

  private cellButton(call: CallData, facts: HeadFacts, look: HeatLook, largest: number): HTMLButtonElement {
    const { model } = this;
    const { head } = facts;
    const name = `${model.layerName(call.number)}, head ${head}`;
    return button({
      class: "cell", title: [name, ...sayFacts(facts, model.scene.before !== null)].join("\n"), label: `${name} alone`,
      on: {
        click: () => {
          const { solo, view } = model.choice;
          if (!isGraph(view)) {
            model.choose({ layer: call.number, head, matrix: "head" });
            return;
          }
          const isSame = solo?.call === call.number && solo.head === head;
          model.choose(isSame ? { solo: null } : { solo: { call: call.number, head }, layer: call.number });
        },
      },
    }, this.pictures.add(model.scene, facts, look, largest));
  }

  /** Follow the choices. */
  refresh(): void {
    const { choice, scene, knocking: { out } } = this.model;
    const heads = this.columns.length;
    const few = heads <= MOST_HUES;
    this.columns.forEach((element, head) => {
      const isChosen = choice.chosenHeads.has(head);
      const hue = hueOfHead(choice, head, heads);
      element.setAttribute("aria-pressed", String(isChosen));
      element.style.setProperty("--hue", few || hue >= 0 ? headColour(this.theme, hue) : this.theme.line);
      element.dataset["plain"] = few ? "no" : "yes";
    });
    const isOverview = choice.view === "matrix" && choice.matrix === "heads";
    const one = isGraph(choice.view) ? choice.solo : isOverview ? null : { call: choice.layer, head: choice.head };
    scene.calls.forEach((call, n) => {
      const drawn = new Set(drawnHeads(choice, call.number, call.heads));
      const isHere = choice.view !== "layer" || choice.layer === call.number;
      const row = this.rows[n];
      row?.setAttribute("aria-pressed", String(choice.view === "layer" || drawn.size > 0));
      if (row) row.dataset["here"] = choice.view === "layer" && isHere ? "yes" : "no";
      for (let head = 0; head < call.heads; head++) {
        const cell = this.cells.get(`${call.number} ${head}`);
        if (!cell) continue;
        cell.dataset["out"] = String(out?.kind === "head" && out.call === call.number && out.head === head);
        cell.dataset["off"] = drawn.has(head) && isHere ? "no" : "yes";
        cell.setAttribute("aria-pressed", String(one?.call === call.number && one.head === head));
      }
    });
  }
}

/** Tell whether a view draws many heads together, so that one of them can be shown alone. */
function isGraph(view: ViewName): boolean {
  return view === "table" || (GRAPH_VIEWS as readonly ViewName[]).includes(view);
}
