/** How many edges are shown: a histogram of their attention and one slider. */

import { count, percent } from "../maths/digits";
import type { PruneName } from "../scene/choice";
import { massBins } from "../scene/prune";
import { make } from "./element";
import type { Model } from "./model";
import { segments } from "./segments";
import type { Theme } from "./theme";

const BINS = 48;
// Weights from 1e-4 to 2 (both directions of a pair), on a log axis.
const LOWEST = -4;
const HIGHEST = Math.log10(2);

function binOfMass(mass: number): number {
  const place = (Math.log10(mass) - LOWEST) / (HIGHEST - LOWEST);
  return Math.min(BINS - 1, Math.max(0, Math.floor(place * BINS)));
}

const PRUNINGS: Record<PruneName, { label: string; title: string }> = {
  layer: { label: "per layer", title: "The strongest edges of each layer, the same number in every layer" },
  row: { label: "per token", title: "Each token's strongest edges until they hold this share of its attention (top-p)" },
  strength: { label: "strength", title: "All edges at least this strong, in any layer" },
};

export class Threshold {
  readonly element: HTMLElement;
  private readonly canvas = make("canvas", { class: "histogram", attributes: { role: "img" } });
  private readonly slider: HTMLInputElement;
  private readonly words = make("p", { class: "note number" });
  private readonly modes;
  private bin = new Uint8Array(0); // of each sorted edge
  private all: Float64Array = new Float64Array(BINS);

  constructor(private readonly model: Model, private theme: Theme) {
    this.slider = make("input", {
      attributes: { type: "range", min: "0", max: "1", step: "0.001", "aria-label": "how many edges are shown" },
      on: { input: () => model.setSlider(Number(this.slider.value)) },
    });
    this.modes = segments<PruneName>(
      Object.entries(PRUNINGS).map(([value, { label, title }]) => ({ value: value as PruneName, label, title })),
      (prune) => model.choose({ prune }), "what the threshold compares",
    );
    this.element = make("section", {}, make("h2", { text: "Edges shown" }), this.modes.element, this.canvas, this.slider, this.words);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.draw();
  }

  /** Sort edges into bins: the graph changed. */
  refresh(): void {
    this.all = massBins(this.model.graph, this.model.order, Infinity, BINS, binOfMass);
    const { edges } = this.model.order;
    this.bin = Uint8Array.from({ length: edges.length }, (_, n) => binOfMass(edges.mass[n]!));
    this.modes.choose(this.model.choice.prune);
    this.draw();
  }

  draw(): void {
    const { model } = this;
    this.slider.value = String(model.sliders[model.choice.prune]);
    const text = this.describe();
    this.words.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    this.paint(this.all, this.shownBins());
  }

  private shownBins(): Float64Array {
    const shown = this.model.shown();
    if (shown > this.bin.length) return massBins(this.model.graph, this.model.order, this.model.keyLimit(), BINS, binOfMass);
    const of = new Float64Array(BINS);
    for (let n = 0; n < shown; n++) of[this.bin[n]!]!++;
    return of;
  }

  private describe(): string {
    const { model } = this;
    const limit = model.limit();
    if (model.order.always > 0) return "all edges: of a uniform head none is stronger than another";
    if (model.sliders[model.choice.prune] >= 1) return "all edges";
    if (model.choice.prune === "layer") {
      const isBoth = model.choice.view === "3d" && model.choice.attention && model.choice.values;
      return `the ${count(limit)} strongest edges of each layer${isBoth ? `, ${count(Math.ceil(limit / 4))} of its values` : ""}`;
    }
    if (model.choice.prune === "row") return `each token's strongest edges in each head, up to ${percent(limit)} of its attention`;
    return `edges of at least ${percent(limit)} of the strongest`;
  }

  private paint(all: Float64Array, shown: Float64Array): void {
    const { canvas, theme } = this;
    const dpr = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth || 210, canvas.clientHeight || 54];
    canvas.width = Math.round(width * dpr);
    canvas.height = Math.round(height * dpr);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.scale(dpr, dpr);
    const floor = height - 13;
    const most = Math.log1p(Math.max(1, ...all));
    const step = width / BINS;
    for (let b = 0; b < BINS; b++) {
      const tall = (Math.log1p(all[b]!) / most) * (floor - 2);
      // Share of the bar that is shown, so that its area tells the truth on a log scale.
      const lit = all[b] ? tall * (shown[b]! / all[b]!) : 0;
      context.fillStyle = theme.line;
      context.fillRect(b * step, floor - tall, step - 1, tall);
      context.fillStyle = theme.accent;
      context.fillRect(b * step, floor - lit, step - 1, lit);
    }
    context.fillStyle = theme.soft;
    context.font = "10px system-ui, sans-serif";
    context.textBaseline = "alphabetic";
    for (const [value, text] of [[-3, "0.001"], [-2, "0.01"], [-1, "0.1"], [0, "1"]] as const) {
      const x = ((value - LOWEST) / (HIGHEST - LOWEST)) * width;
      context.fillRect(x, floor, 1, 3);
      context.textAlign = value === 0 ? "right" : "center";
      context.fillText(text, value === 0 ? Math.min(x + 4, width) : x, height - 1);
    }
    canvas.setAttribute("aria-label", `Histogram of edges by attention, both axes logarithmic; ${this.describe()}`);
  }
}
