/** Choices of what is drawn and how. */

import type { Choice, Direction, LayoutName, ScaleName } from "../scene/choice";
import { MOST_HUES } from "../scene/choice";
import { SCALES } from "../scene/scales";
import { make } from "./element";
import type { Model } from "./model";
import { segments } from "./segments";

/** What an edge within a plane stands for. A[i, j] is what query i gives key j. */
export const DIRECTIONS: Record<Direction, { label: string; title: string }> = {
  sum: { label: "A + Aᵀ", title: "Undirected: A[i, j] + A[j, i], what two tokens give each other" },
  forward: { label: "A", title: "Forward: A[i, j], what a token looks at; wide at the token that attends, thin at the one attended to" },
  backward: { label: "Aᵀ", title: "Backward: A[j, i], what a token receives; wide at the one attended to; per token: the strongest that look at it" },
  asymmetry: { label: "A − Aᵀ", title: "Asymmetry: |A[i, j] − A[j, i]| of each pair, i after j; plus: the later token looks back more than it is looked at" },
};

type Switch = "attention" | "values" | "residual" | "feedForward" | "classes" | "onlyChosen";

export class Options {
  readonly element: HTMLElement;
  private readonly scale;
  private readonly direction;
  private readonly heads;
  private readonly layout;
  private readonly formula = make("p", { class: "formula" });
  private readonly sinks: HTMLInputElement = make("input", {
    attributes: { type: "checkbox" }, on: { change: () => this.model.choose({ sinks: this.sinks.checked ? "folded" : "shown" }) },
  });
  private readonly checks = new Map<Switch, HTMLInputElement>();

  constructor(private readonly model: Model) {
    this.scale = segments<ScaleName>(
      (Object.keys(SCALES) as ScaleName[]).map((value) => ({ value, label: value === "contribution" ? "contr." : SCALES[value].label, title: SCALES[value].formula })),
      (scale) => model.choose({ scale }), "weight scale",
    );
    this.direction = segments<Direction>(
      (Object.keys(DIRECTIONS) as Direction[]).map((value) => ({ value, ...DIRECTIONS[value] })),
      (direction) => model.choose({ direction }), "direction");
    this.heads = segments<Choice["heads"]>([
      { value: "each", label: "each", title: "Every head has its own edges" },
      { value: "mean", label: "mean", title: "One edge per pair: the mean weight over the chosen heads" },
    ], (heads) => model.choose({ heads }), "heads");
    this.layout = segments<LayoutName>([
      { value: "ring", label: "ring", title: "Tokens on a circle, the first at the top, clockwise" },
      { value: "line", label: "line", title: "Tokens in a line, the first at the top" },
      { value: "grid", label: "grid", title: "Patches as in their picture; text in rows" },
      { value: "spring", label: "spring", title: "" },
    ], (layout) => model.choose({ layout }), "layout");
    this.element = make("section", {},
      make("h2", { text: "Drawing" }),
      group("strength of an edge", this.scale.element, this.formula),
      group("direction", this.direction.element),
      group("heads", this.heads.element),
      group("layout", this.layout.element),
      make("div", { class: "checks" },
        this.check("attention", "attention", "Edges within a layer's plane"),
        this.check("values", "values", "What the values carry from plane to plane"),
        this.check("residual", "residual", "Each token's own state, carried on"),
        this.check("feedForward", "feed-forward", "A spindle for each feed-forward block: the wider, the more of the stream it makes up"),
        this.check("classes", "answers", "What each token adds to each answer's score"),
        make("label", { title: "Edges to tokens that take attention whatever they mean are not drawn: the first, and those with more than 0.3 of a layer's attention. Key s" }, this.sinks, "fold sinks"),
        this.check("onlyChosen", "coloured heads only", "Hide heads that have no colour"),
      ),
    );
  }

  private check(name: Switch, text: string, title: string): HTMLElement {
    const input = make("input", { attributes: { type: "checkbox" }, on: { change: () => this.model.choose({ [name]: input.checked }) } });
    this.checks.set(name, input);
    return make("label", { title }, input, text);
  }

  refresh(): void {
    const { choice, scene } = this.model;
    this.scale.choose(choice.scale);
    this.direction.choose(choice.direction);
    this.sinks.checked = choice.sinks === "folded";
    this.heads.choose(choice.heads);
    this.layout.choose(choice.layout);
    const hasSpring = scene.sides.some((side) => side.spring);
    this.layout.enable("spring", hasSpring, hasSpring ? "Tokens that attend to each other stand near each other (NetworkX's spring layout)" : 'The page has no such places: write it with layout="spring"');
    this.formula.textContent = SCALES[choice.scale].formula;
    const hasValues = scene.calls.some((call) => call.valueNorm);
    this.scale.enable("contribution", hasValues, hasValues ? SCALES.contribution.formula : "No values were captured: capture with values=True");
    for (const [name, input] of this.checks) input.checked = choice[name];
    const hide = (name: Switch, isHidden: boolean) => {
      this.checks.get(name)!.parentElement!.style.setProperty("display", isHidden ? "none" : "");
    };
    const isFront = choice.view === "front";
    this.checks.get("attention")!.disabled = choice.view !== "3d";
    this.checks.get("values")!.disabled = choice.view !== "3d";
    if (isFront) [this.checks.get("attention")!.checked, this.checks.get("values")!.checked] = [false, true];
    if (choice.view === "layer") [this.checks.get("attention")!.checked, this.checks.get("values")!.checked] = [true, false];
    hide("onlyChosen", Math.max(0, ...scene.calls.map((call) => call.heads)) <= MOST_HUES);
    hide("classes", !scene.outputs?.contribution);
  }
}

function group(name: string, ...children: HTMLElement[]): HTMLElement {
  return make("div", { class: children.length > 1 ? "group tall" : "group" }, make("span", { class: "name", text: name }), ...children);
}
