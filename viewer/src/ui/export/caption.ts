/** The caption of a picture in words: what it shows, of how much, by which scale, and what is missing. */

import { percent, plural } from "../../maths/digits";
import { MOST_HUES, type Choice, type Direction } from "../../scene/choice";
import { realTokens } from "../../scene/layout";
import { sayRole } from "../../scene/measures";
import { SCALES } from "../../scene/scales";
import { headKey } from "../../wire/findings";
import { labelOf } from "../element";
import { nameTarget } from "../knock_panel";
import { focusedHead } from "../knocking";
import type { Model } from "../model";

/** How a format writes our own words, and words of strangers: tokens and names. */
export interface Pen {
  own(text: string): string;
  foreign(text: string): string;
}

// Tokens of a side that a caption names: a sentence, not a paragraph.
const MOST_TOKENS = 24;

const DIRECTIONS: Record<Direction, string> = {
  sum: "undirected, the weights of both directions added up (A + Aᵀ)",
  forward: "directed, from the query to the key",
  backward: "directed, from the key to the query",
  asymmetry: "signed, the difference of the two directions (A − Aᵀ)",
};

/** Characters that mean something in Markdown, each behind a backslash. */
export const MARKDOWN: Pen = {
  own: (text) => text.replace(/[\\`*_<>[\]|~]/g, "\\$&"),
  // Any punctuation may be escaped, and then starts neither a link nor a name.
  foreign: (text) => text.replace(/[!-/:-@[-`{-~]/g, "\\$&"),
};

const LATEX_SIGNS: Record<string, string> = {
  "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", "%": "\\%", _: "\\_",
  "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}",
  "×": "$\\times$", "−": "$-$", "·": "$\\cdot$", "‖": "$\\|$", "₂": "$_2$", "₁₀": "$_{10}$", "ᵀ": "$^T$", "…": "\\ldots{}",
  "\u202f": "\\,", "“": "``", "”": "''", '"': "\\textquotedbl{}", "⏎": "$\\hookleftarrow$", "⇥": "$\\rightarrow$",
};

const latex = (text: string) => text
  .replace(/\p{Cf}|\p{Cc}/gu, "")
  .replace(/₁₀|[\\{}$&#%_^~<>|×−·‖₂ᵀ…\u202f“”"⏎⇥]/g, (sign) => LATEX_SIGNS[sign]!);

export const LATEX: Pen = { own: latex, foreign: latex };

/** The caption of what is shown, as one paragraph; `counted` says how many edges of how many, and what they hold. */
export function captionOf(model: Model, counted: string, pen: Pen): string {
  const { scene, choice, graph } = model;
  const own = (text: string) => pen.own(text);
  const said = [own("Attention of ") + pen.foreign(labelOf(scene.model || "the model", 80)) + own(` (${sizes(model)}).`)];
  for (const side of scene.sides) {
    const real = realTokens(side);
    const words = real.slice(0, MOST_TOKENS).map((token) => pen.foreign(labelOf(side.tokens[token]!))).join(" ");
    if (!side.patches) said.push(own(`Input (${side.name}): “`) + words + own(real.length > MOST_TOKENS ? " …”." : "”."));
  }
  if (!["3d", "front", "table"].includes(choice.view)) said.push(own(`Shown is ${model.layerName(choice.layer)}.`));
  said.push(own(`${headsOf(model, choice)}.`));
  const head = focusedHead(model);
  const role = head && scene.roles.get(headKey(head.call, head.head));
  if (role) said.push(own(`Role of head ${head.head} of ${model.layerName(head.call)}: `) + pen.foreign(labelOf(sayRole(role), 160)) + own("."));
  const { out, by } = model.knocking;
  if (out) said.push(own(`Knocked out (${by}), dashed: `) + pen.foreign(nameTarget(model, out)) + own("."));
  if (choice.view !== "matrix" && choice.view !== "neuron") {
    said.push(own(`Shown: ${counted}.`), own(`${pruning(model)}.`));
    said.push(own(`Strength of an edge: ${SCALES[choice.scale].label}, ${SCALES[choice.scale].formula}.`));
    said.push(own(`Attention is ${DIRECTIONS[choice.direction]}.`));
  }
  const notes = [...graph.dropped, ...(graph.flatHeads.length ? [`uniform heads, drawn flat: ${graph.flatHeads.join(", ")}`] : [])];
  if (notes.length) said.push(own(`Not shown: ${notes.join("; ")}.`));
  return said.join(" ");
}

/** A figure's caption for a LaTeX document. */
export function latexCaption(model: Model, counted: string): string {
  return `\\caption{${captionOf(model, counted, LATEX)}}`;
}

function sizes(model: Model): string {
  const { scene } = model;
  const heads = Math.max(0, ...scene.calls.map((call) => call.heads));
  const sides = scene.sides.map((side) => plural(realTokens(side).length, side.patches ? "patch and token" : "token"));
  return `${plural(scene.calls.length, "layer")} × ${plural(heads, "head")}, ${sides.join(" and ")}`;
}

function headsOf(model: Model, choice: Choice): string {
  const { calls } = model.scene;
  if (choice.solo) return `Drawn is head ${choice.solo.head} of ${model.layerName(choice.solo.call)} alone`;
  const heads = Math.max(0, ...calls.map((call) => call.heads));
  const chosen = choice.onlyChosen && choice.chosenHeads.size > 0 && choice.chosenHeads.size < heads;
  const names = chosen ? `heads ${[...choice.chosenHeads].sort((a, b) => a - b).join(", ")}` : "all heads";
  const on = calls.filter((call) => !choice.layersOff.has(call.number));
  const layers = on.length < calls.length ? ` of layers ${on.map((call) => call.layer).join(", ")}` : "";
  const way = choice.heads === "mean" ? `The mean of ${names}${layers} is drawn` : `Drawn are ${names}${layers}`;
  return heads > MOST_HUES && choice.heads === "each" && !chosen ? `${way}, in one colour but for the chosen` : way;
}

function pruning(model: Model): string {
  const limit = model.limit();
  if (model.keyLimit() === Infinity) return "No edge is pruned";
  if (model.choice.prune === "layer") return `Kept: the ${plural(limit, "strongest edge")} of each layer`;
  if (model.choice.prune === "row") return `Kept: each token's strongest edges until they hold ${percent(limit)} of its attention`;
  return `Kept: edges of at least ${percent(limit)} of the largest strength`;
}
