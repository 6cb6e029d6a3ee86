/** The panel while nothing is selected: the model's answer, and what to know about the data. */

import { codeError, orNaN, percent, quantity, signed } from "../maths/digits";
import { VALUE, type Edge } from "../scene/edges";
import type { OutputsData } from "../wire/outputs";
import type { PruneName, ViewName } from "../scene/choice";
import { queryShift } from "../scene/rows";
import type { CallData } from "../wire/scene";
import { bar, bars } from "./bars";
import { button, labelOf, make, tokenText } from "./element";
import { headSections } from "./head_panel";
import { largestKnockOuts } from "./knock_panel";
import type { Model } from "./model";
import { describe } from "./tooltip";

// Answers that are listed; a language model gives more than anybody reads.
const MOST_LISTED = 20;
const MOST_EDGES = 6;

export function answerPanel(model: Model): HTMLElement {
  const { scene } = model;
  const panel = make("div");
  panel.append(...headSections(model));
  if (scene.outputs) panel.append(...answer(scene.outputs, scene.before?.outputs ?? null));
  panel.append(
    make("h2", { text: "What is drawn" }),
    make("p", { class: "note", text: describeView(model) }),
  );
  panel.append(...largestKnockOuts(model), ...strongest(model));
  if (model.page.note) panel.append(make("h2", { text: "About" }), make("p", { class: "note", text: model.page.note.slice(0, 2000) }));
  const notes = [...scene.warnings];
  if (notes.length) {
    const list = make("ul", { class: "warnings" });
    for (const note of notes) list.append(make("li", { text: note }));
    panel.append(make("h2", { text: "Notes on the data" }), list);
  }
  panel.append(
    make("h2", { text: "Keys" }),
    make("p", {
      class: "note",
      text: "Drag turns, wheel or + − zooms, Home fits. , . step through tokens, / finds one, Esc goes back, ? lists all keys.",
    }),
  );
  return panel;
}

/** The first edges of the picture as a list: where to look first, and the way of a screen reader to edges. */
function strongest(model: Model): HTMLElement[] {
  const count = Math.min(model.shown(), model.order.edges.length);
  if (count === 0 || model.order.always > 0) return [];
  const list = make("ol", { class: "edges" });
  for (let n = 0; n < count && list.childElementCount < MOST_EDGES; n++) {
    const edge = model.order.edges.at(n);
    const call = model.scene.calls[edge.call]!;
    if (!hasChoice(model, call, edge)) continue;
    const [query, key] = [model.scene.sides[call.querySide]!.tokens[edge.query]!, model.scene.sides[call.keySide]!.tokens[edge.key]!];
    const head = edge.head < 0 ? "mean" : `head ${edge.head}`;
    list.append(make("li", {}, button({ title: describe(model, { kind: "edge", edge }), on: { click: () => model.select({ kind: "edge", edge }) } },
      tokenText(labelOf(query, 12)), make("span", { class: "soft", text: edge.kind === VALUE ? " ⇠ " : " → " }), tokenText(labelOf(key, 12)),
      make("span", { class: "soft number", text: `  ${edge.sign ? signed(edge.sign * edge.weight) : quantity(edge.weight, codeError(edge.weight, call.code))} · L${call.layer} ${head}` }))));
  }
  return [make("h2", { text: model.scene.before ? "Biggest movers" : "First of the edges shown" }), list,
    make("p", { class: "note", text: `${ORDERS[model.choice.prune]}; without tokens that see one key only, to which their weight is 1.` })];
}

const ORDERS: Record<PruneName, string> = {
  layer: "The strongest of each layer and kind, then the second of each, and so on",
  row: "By the share of its token's attention that stronger edges hold",
  strength: "The strongest first",
};

/** Tell whether the query could have attended to another key. */
function hasChoice(model: Model, call: CallData, edge: Edge): boolean {
  const row = edge.query - queryShift(call, model.scene.sides[call.querySide]!.tokens.length);
  return call.visible[Math.max(edge.head, 0) * call.queries + row] !== 1;
}

function answer(outputs: OutputsData, before: OutputsData | null): HTMLElement[] {
  const isNext = outputs.kind === "next tokens";
  const rows = outputs.names.slice(0, MOST_LISTED).map((name, n) => {
    const share = outputs.probabilities[n]!;
    const isTrue = outputs.truth !== null && name === outputs.truth;
    const label = make("span", {}, tokenText(labelOf(name, 24)), isTrue && make("span", { class: "soft", text: " true" }));
    return {
      name: label,
      bar: bar(share, n === 0 ? "var(--accent)" : "var(--soft)"),
      value: before ? `${orNaN(share, percent)}, was ${orNaN(before.probabilities[before.names.indexOf(name)] ?? Number.NaN, percent)}` : orNaN(share, percent),
      title: `${name.slice(0, 300)}: score ${orNaN(outputs.scores[n]!, quantity)}${isTrue ? ", the truth" : ""}`,
    };
  });
  const parts = [make("h2", { text: isNext ? "Next token" : "Answer" }), bars(rows)];
  if (outputs.truth !== null) {
    const isRight = outputs.names[0] === outputs.truth;
    parts.push(make("p", {}, make("b", { text: isRight ? "right" : "wrong" }), ", the truth is ", tokenText(labelOf(outputs.truth, 40))));
  }
  const method: Record<string, string> = {
    exact: "Contributions to the scores are exact: the head is linear over the last states.",
    "gradient x activation": "Contributions to the scores are gradient x activation: an approximation.",
  };
  parts.push(make("p", { class: "note", text: method[outputs.method] ?? "What each token adds to the scores is not known for this model." }));
  return parts;
}

function describeView(model: Model): string {
  const { view, values } = model.choice;
  if (model.scene.before) {
    return "By how much attention differs between two passes over the same tokens. A full line is a weight that rose, a dashed one a weight that fell; the wider, the more. Click one for both numbers.";
  }
  const token = "Click a token for its whole story, an edge for its numbers.";
  if (view === "front") {
    return `Layers from left to right, tokens from top to bottom. A ribbon is what a token's value carries into another token, wider where it carries more. ${token}`;
  }
  const others: Partial<Record<ViewName, string>> = {
    matrix: "Every head as a matrix: a row is a token that looks, a column one that is looked at, dark where the weight is large. Click a head for its whole matrix.",
    heads: `${model.layerName(model.choice.layer)}: a line from each token at the left to the one that it looks at, at the right. Point at a token for its lines alone.`,
    neuron: "Why one token looks at another: the score is the sum of the products of query and key, number by number, and softmax makes the weights of the scores.",
    table: "The edges that the threshold lets pass, in numbers. Press a column's name to sort by it, a row to select its edge.",
  };
  if (others[view]) return others[view];
  if (view === "layer") {
    return `${model.layerName(model.choice.layer)} from above: an edge joins a token and the one it attends to. L-buttons and Page Up, Page Down change the layer. ${token}`;
  }
  return `Every layer is a plane of tokens, in order from left to right; edges within a plane are attention${values ? ", ribbons between planes what the values carry" : ""}. ${token}`;
}
