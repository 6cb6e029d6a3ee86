/** What views of one layer share: a sharp canvas, the choice of the layer, heads as chips, an edge by its ends. */

import { hueOfHead, MOST_HUES, toggledHeads } from "../../scene/choice";
import { ATTENTION, CROSS, type Edge } from "../../scene/edges";
import { nodeOf } from "../../scene/nodes";
import { judgedWeight, queryShift, weightAt } from "../../scene/rows";
import type { CallData } from "../../wire/scene";
import { button, make } from "../element";
import type { Model } from "../model";
import { headColour, type Theme } from "../theme";

/** Fit a canvas to its place; its units are CSS pixels. Null where there is nothing to draw on. */
export function sharpContext(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const dots = Math.min(devicePixelRatio || 1, 2);
  const [w, h] = [Math.round(width * dots), Math.round(height * dots)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = w && h ? canvas.getContext("2d") : null;
  context?.setTransform(dots, 0, 0, dots, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

/** A list to choose one of. */
export function picker(label: string, names: readonly string[], chosen: number, choose: (n: number) => void): HTMLSelectElement {
  const element = make("select", { attributes: { "aria-label": label }, on: { change: () => choose(element.selectedIndex) } },
    ...names.map((text) => make("option", { text })));
  element.selectedIndex = chosen;
  return element;
}

export function layerPicker(model: Model): HTMLSelectElement {
  return picker("layer", model.scene.calls.map((call) => model.layerName(call.number)), model.choice.layer, (layer) => model.choose({ layer, solo: null }));
}

/** Heads of a call: a click shows, hides or colours one, a double click shows it alone. */
export class HeadChips {
  readonly element = make("div", { class: "chips", attributes: { role: "group", "aria-label": "heads" } });
  private chips: HTMLButtonElement[] = [];

  constructor(private readonly model: Model) {}

  refresh(theme: Theme, call: CallData, drawn: readonly number[]): void {
    const { model } = this;
    // Chips stay where they are, so that a double click meets one chip.
    if (this.chips.length !== call.heads) {
      this.chips = Array.from({ length: call.heads }, (_, head) => this.chip(head, call.heads));
      const every = call.heads <= MOST_HUES ? this.chips.map((_, head) => head) : [];
      this.element.replaceChildren(...this.chips, button({ class: "link", text: "all", title: "all heads", on: { click: () => this.only(every) } }));
    }
    this.chips.forEach((chip, head) => {
      chip.setAttribute("aria-pressed", String(drawn.includes(head)));
      chip.style.setProperty("--hue", headColour(theme, hueOfHead(model.choice, head, call.heads)));
    });
  }

  private chip(head: number, heads: number): HTMLButtonElement {
    return button({
      class: "head-chip", text: String(head), label: `head ${head}`,
      title: `Head ${head}: click to ${heads <= MOST_HUES ? "show or hide" : "give it a colour"}, double click for this head alone`,
      on: {
        click: (event) => {
          if (event.detail < 2) this.model.choose({ ...toggledHeads(this.model.choice, head, heads), solo: null });
        },
        dblclick: () => this.only([head]),
      },
    });
  }

  private only(heads: readonly number[]): void {
    this.model.choose({ chosenHeads: new Set(heads), onlyChosen: heads.length > 0, solo: null });
  }
}

/** An edge of the drawn layer, whether or not the threshold shows it. */
export function edgeOf(model: Model, call: CallData, head: number, query: number, key: number): Edge {
  const shift = queryShift(call, model.scene.sides[call.querySide]!.tokens.length);
  const weight = weightAt(call, head, query - shift, key);
  const row = head * call.queries + query - shift;
  const kind = call.querySide === call.keySide ? ATTENTION : CROSS;
  const plane = kind === CROSS ? model.scene.sides[call.keySide]!.planes - 1 : call.plane;
  return {
    kind, call: call.number, head, query, key, weight, mass: weight, flat: false, sign: 0, judged: judgedWeight(call, row, weight),
    from: nodeOf(model.index, call.querySide, call.plane, query), to: nodeOf(model.index, call.keySide, plane, key),
    reverse: kind === ATTENTION && query !== key ? weightAt(call, head, key - shift, query) : Number.NaN,
    lift: weight * (call.visible[row] ?? Number.NaN),
    contribution: call.valueNorm ? weight * call.valueNorm[head * call.keys + key]! : Number.NaN,
  };
}
