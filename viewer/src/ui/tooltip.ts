/** What lies under the pointer, in a line. */

import { orNaN, quantity, codeError, signed, percent } from "../maths/digits";
import { ANSWER, RESIDUAL, VALUE } from "../scene/edges";
import { labelOf } from "./element";
import type { Model, Selection } from "./model";

export function describe(model: Model, selection: Selection): string {
  const { scene } = model;
  if (selection.kind === "token") {
    const text = labelOf(scene.sides[selection.side]!.tokens[selection.token]!, 60);
    const share = model.received.tokens[selection.side]![selection.token]!;
    return `${isolate(text)} · token ${selection.token} · receives ${share.toFixed(2)} × an even share`;
  }
  if (selection.kind === "answer") {
    const name = isolate(labelOf(scene.outputs!.names[selection.answer]!, 60));
    return `answer ${name} · probability ${orNaN(scene.outputs!.probabilities[selection.answer]!, percent)}`;
  }
  const { edge } = selection;
  if (edge.kind === ANSWER) {
    const name = scene.outputs!.names[edge.query]!;
    return `${isolate(tokenOf(model, scene.outputs!.side, edge.key))} adds ${signed(edge.weight)} to ${isolate(labelOf(name, 30))}`;
  }
  const call = scene.calls[edge.call]!;
  const query = isolate(tokenOf(model, call.querySide, edge.query));
  if (edge.kind === RESIDUAL) return `${query} keeps ${percent(edge.weight)} of itself · ${model.layerName(edge.call)}`;
  const key = isolate(tokenOf(model, call.keySide, edge.key));
  const head = edge.head < 0 ? "mean of heads" : `head ${edge.head}`;
  const verb = edge.kind === VALUE ? "receives from" : "attends to";
  if (edge.sign) return `${query} ${verb} ${key} · ${signed(edge.sign * edge.weight)} · ${model.layerName(edge.call)}, ${head}`;
  return `${query} ${verb} ${key} · ${quantity(edge.weight, codeError(edge.weight, call.code))} · ${model.layerName(edge.call)}, ${head}`;
}

function tokenOf(model: Model, side: number, token: number): string {
  return labelOf(model.scene.sides[side]!.tokens[token]!, 30);
}

/** Keep a text's direction of writing from what stands around it. */
function isolate(text: string): string {
  return `\u2068${text}\u2069`;
}
