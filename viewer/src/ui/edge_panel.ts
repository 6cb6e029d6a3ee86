/** Everything about one edge. */

import { orNaN, codeError, differenceError, percent, quantity, signed } from "../maths/digits";
import { graphChoice, hueOfHead } from "../scene/choice";
import { ANSWER, ATTENTION, FORWARD, RESIDUAL, VALUE, type Edge } from "../scene/edges";
import { sayRole } from "../scene/measures";
import { pairDetails, type PairDetails } from "../scene/pair";
import { headKey } from "../wire/findings";
import { bar, bars, facts } from "./bars";
import { button, labelOf, make, tokenText } from "./element";
import { knockSection } from "./knock_panel";
import type { Model } from "./model";
import { pythonSection } from "./python_line";
import { headColour, type Theme } from "./theme";
import { topologySection } from "./topology_panel";

// Heads that are listed one by one; the heat map has all.
const MOST_LISTED = 16;

export function edgePanel(model: Model, edge: Edge, theme: Theme): HTMLElement {
  if (edge.kind === ANSWER) return answerEdge(model, edge);
  if (edge.kind === RESIDUAL || edge.kind === FORWARD) return residualEdge(model, edge);
  const { before, after } = model.scene;
  const details = pairDetails(after ?? model.scene, edge);
  const old = before && pairDetails(before, edge);
  const { call } = details;
  const query = model.scene.sides[call.querySide]!.tokens[edge.query]!;
  const key = model.scene.sides[call.keySide]!.tokens[edge.key]!;
  const error = codeError(details.weight, call.code);
  const w = (value: number) => quantity(value, codeError(value, call.code));
  const isPair = call.querySide === call.keySide && edge.query !== edge.key;
  const role = model.scene.roles.get(headKey(edge.call, edge.head));
  const head = edge.head < 0 ? "mean of the heads" : `head ${edge.head}${role ? `: ${sayRole(role)}` : ""}`;
  const hue = headColour(theme, hueOfHead(model.choice, edge.head, call.heads));
  return make("div", {},
    make("div", { class: "sentence" },
      tokenLink(model, call.querySide, edge.query, query), make("small", { text: edge.kind === VALUE ? "receives from" : "attends to" }),
      tokenLink(model, call.keySide, edge.key, key)),
    make("p", { class: "note" }, make("i", { class: "swatch", style: { background: hue } }), `${model.layerName(call.number)} · ${head} · ${call.site}`),
    facts([
      ["weight, query → key", w(details.weight), `A[${edge.query}, ${edge.key}]`],
      ...(old ? [["in the other pass", w(old.weight)], ["change", signed(details.weight - old.weight, differenceError(call.code))]] as const : []),
      ...(isPair ? [["weight, key → query", w(details.back), `A[${edge.key}, ${edge.query}]`] as const] : []),
      ...(isPair && edge.kind === ATTENTION && graphChoice(model.choice).direction === "sum" ? [["drawn: both directions", w(edge.mass)] as const] : []),
      ...(isPair && edge.kind === ATTENTION && graphChoice(model.choice).direction === "asymmetry" ? [["drawn: difference", signed(edge.sign * edge.mass, differenceError(call.code)), "i after j: A[i, j] − A[j, i]"] as const] : []),
      ["lift over uniform", Number.isFinite(details.lift) ? `× ${quantity(details.lift, error * details.visible)}` : "not captured", `weight x ${details.visible} visible keys`],
      ["‖v W_O‖ of the key", quantity(details.valueNorm), "what a weight of 1 would add to the stream"],
      ["contribution", quantity(details.contribution, error * (details.valueNorm || 0)), "weight x ‖v W_O‖"],
      ["rank in its row", Number.isFinite(details.rank) ? `${details.rank} of ${details.visible}` : "—"],
    ]),
    knockSection(model),
    pythonSection(model, edge),
    ...headBars(model, details, edge, theme),
    ...heat(model, details, edge, theme),
    edge.head >= 0 && topologySection(model, edge.call, edge.head),
  );
}

function tokenLink(model: Model, side: number, token: number, text: string): HTMLElement {
  return button({ title: "show this token's story", on: { click: () => model.select({ kind: "token", side, token, plane: 0 }) } }, tokenText(labelOf(text, 24)));
}

function headBars(model: Model, details: PairDetails, edge: Edge, theme: Theme): HTMLElement[] {
  if (details.call.heads < 2) return [];
  const largest = Math.max(...details.heads.filter((value) => value === value), 1e-30);
  const order = details.heads.map((_, head) => head);
  const shown = order.length > MOST_LISTED
    ? order.sort((a, b) => (details.heads[b] || 0) - (details.heads[a] || 0)).slice(0, MOST_LISTED)
    : order;
  const rows = shown.map((head) => ({
    name: make(edge.head === head ? "b" : "span", { text: `head ${head}` }),
    bar: bar(details.heads[head]! / largest, headColour(theme, hueOfHead(model.choice, head, details.call.heads))),
    value: quantity(details.heads[head]!, codeError(details.heads[head]!, details.call.code)),
  }));
  const title = order.length > MOST_LISTED ? `Strongest ${MOST_LISTED} of ${order.length} heads here` : "All heads of this layer";
  return [make("h2", { text: title }), bars(rows)];
}

function heat(model: Model, details: PairDetails, edge: Edge, theme: Theme): HTMLElement[] {
  const heads = Math.max(...details.layers.map((layer) => layer.heads.length), 0);
  if (heads === 0 || (details.layers.length < 2 && heads < 2)) return [];
  const map = make("div", { class: "heat", style: { "grid-template-columns": `26px repeat(${heads}, minmax(3px, 1fr))` } });
  for (const layer of details.layers) {
    const call = model.scene.calls[layer.call]!;
    map.append(make("div", { class: "name", text: `L${call.layer}` }));
    for (let head = 0; head < heads; head++) {
      const weight = layer.heads[head];
      const hue = headColour(theme, hueOfHead(model.choice, head, call.heads));
      const isKnown = weight !== undefined && weight === weight;
      const share = isKnown ? Math.sqrt(Math.min(1, weight)) : 0;
      const cell = make("div", {
        title: `layer ${call.layer}, head ${head}: ${quantity(weight ?? Number.NaN, codeError(weight ?? 0, call.code))}`,
        style: { background: `color-mix(in oklab, ${hue} ${Math.round(100 * share)}%, var(--raised))` },
      });
      if (layer.call === edge.call && head === edge.head) cell.className = "here";
      map.append(cell);
    }
  }
  map.append(make("div", { class: "name" }));
  const every = Math.ceil(heads / 12);
  for (let head = 0; head < heads; head++) map.append(make("div", { class: "name", text: head % every ? "" : String(head) }));
  return [make("h2", { text: "This pair in all layers × heads" }), map];
}

function residualEdge(model: Model, edge: Edge): HTMLElement {
  const call = model.scene.calls[edge.call]!;
  const text = model.scene.sides[call.querySide]!.tokens[edge.query]!;
  const row = edge.query - (model.scene.sides[call.querySide]!.tokens.length - call.queries);
  const norm = (n: number) => quantity(call.flow[n * call.queries + row] ?? Number.NaN);
  return make("div", {},
    make("div", { class: "sentence" }, tokenLink(model, call.querySide, edge.query, text), make("small", { text: "carries itself on" })),
    make("p", { class: "note", text: `${model.layerName(call.number)} · residual` }),
    facts([
      ["own state's share", percent(edge.weight), "residual / (residual + attention), by norm"],
      ["norm of the own state", norm(0)], ["norm that attention adds", norm(1)],
      ["norm before feed-forward", norm(2)], ["norm that feed-forward adds", norm(3)],
    ]),
    pythonSection(model, edge),
  );
}

function answerEdge(model: Model, edge: Edge): HTMLElement {
  const outputs = model.scene.outputs!;
  const tokens = model.scene.sides[outputs.side]!.tokens.length;
  const parts = outputs.contribution!.subarray(edge.query * tokens, (edge.query + 1) * tokens);
  const rank = 1 + parts.reduce((sum, value) => sum + (Math.abs(value) > Math.abs(edge.weight) ? 1 : 0), 0);
  return make("div", {},
    make("div", { class: "sentence" },
      tokenLink(model, outputs.side, edge.key, model.scene.sides[outputs.side]!.tokens[edge.key]!),
      make("small", { text: edge.weight < 0 ? "speaks against" : "speaks for" }), tokenText(labelOf(outputs.names[edge.query]!, 24))),
    make("p", { class: "note", text: `contribution to the score, ${outputs.method}` }),
    facts([
      ["adds to the score", signed(edge.weight)],
      ["rank by size", `${rank} of ${tokens}`],
      ["score in all", orNaN(outputs.scores[edge.query]!, signed)],
      ["from no token (bias)", signed(outputs.base[edge.query]!)],
      ["probability", orNaN(outputs.probabilities[edge.query]!, percent)],
    ]),
    pythonSection(model, edge),
  );
}
