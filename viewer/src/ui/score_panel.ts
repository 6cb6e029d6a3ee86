/** One answer: which tokens speak for it and which against. */

import { orNaN, percent, signed } from "../maths/digits";
import { bars, facts, signedBar } from "./bars";
import { button, labelOf, make, tokenText } from "./element";
import type { Model } from "./model";

const MOST_TOKENS = 14;

export function scorePanel(model: Model, answer: number): HTMLElement {
  const outputs = model.scene.outputs!;
  const name = outputs.names[answer]!;
  const panel = make("div", {},
    make("h3", {}, tokenText(labelOf(name, 60))),
    outputs.raw[answer] !== name && make("p", { class: "note", text: `raw: ${labelOf(outputs.raw[answer]!, 60)}` }),
    facts([
      ["probability", orNaN(outputs.probabilities[answer]!, percent)],
      ["score", orNaN(outputs.scores[answer]!, signed)],
      ["from no token (bias)", signed(outputs.base[answer]!)],
    ]),
  );
  if (!outputs.contribution) {
    panel.append(make("p", { class: "note", text: "What each token adds to the score is not known for this model." }));
    return panel;
  }
  const side = model.scene.sides[outputs.side]!;
  const parts = outputs.contribution.subarray(answer * side.tokens.length, (answer + 1) * side.tokens.length);
  const order = Array.from(parts, (_, token) => token)
    .filter((token) => !side.padded[token])
    .sort((a, b) => Math.abs(parts[b]!) - Math.abs(parts[a]!));
  const largest = Math.max(Math.abs(parts[order[0] ?? 0] ?? 0), 1e-30);
  const rows = order.slice(0, MOST_TOKENS).map((token) => ({
    name: button({ title: `token ${token}: show its story`, on: { click: () => model.select({ kind: "token", side: outputs.side, token, plane: side.planes - 1 }) } },
      tokenText(labelOf(side.tokens[token]!, 16))),
    bar: signedBar(parts[token]! / largest),
    value: signed(parts[token]!),
  }));
  const rest = order.slice(MOST_TOKENS).reduce((sum, token) => sum + parts[token]!, 0);
  panel.append(make("section", {}, make("h2", { text: `Tokens for and against (${outputs.method})` }), bars(rows)));
  if (order.length > MOST_TOKENS) {
    panel.append(make("p", { class: "note", text: `The other ${order.length - MOST_TOKENS} tokens add ${signed(rest)} together.` }));
  }
  return panel;
}
