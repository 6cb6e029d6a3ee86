/** What lies under the pointer, in a line. */

import { codeError, differenceError, orNaN, percent, quantity, signed } from "../maths/digits";
import { ANSWER, FORWARD, RESIDUAL, VALUE } from "../scene/edges";
import { isolate, labelOf } from "./element";
import type { Model, Selection } from "./model";

export function describe(model: Model, selection: Selection): string {
  const { scene } = model;
  if (selection.kind === "token") {
    const text = labelOf(scene.sides[selection.side]!.tokens[selection.token]!, 60);
    const share = model.received.tokens[selection.side]![selection.token]!;
    return `${isolate(text)}${rawOf(model, selection.side, selection.token)} · token ${selection.token} · receives ${share.toFixed(2)} × an even share`;
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
  if (edge.kind === FORWARD) return `${query}: feed-forward adds ${percent(edge.weight)} · ${model.layerName(edge.call)}`;
  if (edge.kind === RESIDUAL) return `${query} keeps ${percent(edge.weight)} of itself · ${model.layerName(edge.call)}`;
  const key = isolate(tokenOf(model, call.keySide, edge.key));
  const head = edge.head < 0 ? "mean of heads" : `head ${edge.head}`;
  const verb = edge.kind === VALUE ? "receives from" : "attends to";
  if (edge.sign) return `${query} ${verb} ${key} · ${signed(edge.sign * edge.mass, differenceError(call.code))} · ${model.layerName(edge.call)}, ${head}`;
  return `${query} ${verb} ${key} · ${quantity(edge.weight, codeError(edge.weight, call.code))} · ${model.layerName(edge.call)}, ${head}`;
}

/** How the tokenizer writes a token, where that is something else. */
export function rawOf(model: Model, side: number, token: number): string {
  const { tokens, raw } = model.scene.sides[side]!;
  return raw[token] === tokens[token] ? "" : ` (raw: ${isolate(labelOf(raw[token]!, 60))})`;
}

function tokenOf(model: Model, side: number, token: number): string {
  return labelOf(model.scene.sides[side]!.tokens[token]!, 30);
}

/** Put a filled tip beside a point of its host, within the host. */
export function placeTip(tip: HTMLElement, host: HTMLElement, x: number, y: number): void {
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const left = Math.max(4, Math.min(x + 14, host.clientWidth - width - 4));
  const top = y + 18 + height > host.clientHeight ? y - height - 10 : y + 18;
  tip.style.setProperty("transform", `translate(${left}px, ${Math.max(4, top)}px)`);
}
