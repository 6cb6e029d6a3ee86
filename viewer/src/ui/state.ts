/** What a person sees as plain data: for links, for Python, and for figures drawn elsewhere. */

import type { Camera } from "../maths/camera";
import { findEdge } from "../scene/candidates";
import { GRAPH_VIEWS, HEAD_ORDERS, type Choice, type ViewName } from "../scene/choice";
import { SCALES } from "../scene/scales";
import { asRecord, isCount } from "../wire/block";
import { CENTRE } from "./centre/index";
import type { Model, Selection } from "./model";

export type State = Record<string, unknown>;

/** A camera together with the canvas that it was made for, CSS pixels. */
export interface PlacedCamera extends Camera {
  width: number;
  height: number;
}

// Values of the choices that are words.
const WORDS = {
  layout: ["ring", "line", "grid", "spring"],
  scale: Object.keys(SCALES),
  prune: ["layer", "row", "strength"],
  direction: ["sum", "forward", "backward", "asymmetry"],
  merge: ["each", "mean"],
  sinks: ["shown", "folded"],
  matrix: ["heads", "head"],
  order: HEAD_ORDERS,
  ranked: ["layers", "all"],
} as const;
const SWITCHES = { attention: "attention", values: "values", residual: "residual", feedForward: "feedForward", answers: "classes", coloured: "onlyChosen" } as const;

/** The view names that this viewer has. */
export function viewNames(): ViewName[] {
  return [...GRAPH_VIEWS, ...(Object.keys(CENTRE) as ViewName[])];
}

/** The choices of a model, as plain data. */
export function chosenState(model: Model): State {
  const { choice } = model;
  return {
    frame: model.frame, against: model.against, view: choice.view, layout: choice.layout, scale: choice.scale,
    prune: choice.prune, slider: model.sliders[choice.prune], direction: choice.direction, merge: choice.heads,
    sinks: choice.sinks, matrix: choice.matrix, order: choice.order, ranked: choice.ranked, heads: [...choice.chosenHeads], solo: choice.solo, layer: choice.layer, head: choice.head,
    layers: model.scene.calls.map((call) => call.number).filter((n) => !choice.layersOff.has(n)),
    ...Object.fromEntries(Object.entries(SWITCHES).map(([name, key]) => [name, choice[key]])),
    selection: model.selection, knockOut: model.knocking.out && model.knocking.by,
  };
}

/** What of `now` differs from `usual`. */
export function difference(now: State, usual: State): State {
  return Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(usual[name])));
}

/** Read the choices out of a state that may come from anywhere; `refused` collects what does not fit, in words. */
export function readChoice(state: State, model: Model, refused: string[]): Partial<Choice> {
  const { calls } = model.scene;
  const change: Partial<Choice> = {};
  const hasSpring = model.scene.sides.some((side) => side.spring);
  const take = (name: string, isRight: (value: unknown) => boolean, use: (value: never) => void) => {
    if (state[name] === undefined) return;
    if (isRight(state[name])) use(state[name] as never);
    else refused.push(`${name}: ${JSON.stringify(state[name])?.slice(0, 80)} is not something this picture has`);
  };
  const isHead = (value: unknown) => isCount(value) && calls.some((call) => value < call.heads);
  const isCall = (value: unknown) => isCount(value) && value < calls.length;
  take("view", (value) => (viewNames() as unknown[]).includes(value), (value) => (change.view = value));
  for (const [name, words] of Object.entries(WORDS)) {
    take(name, (value) => (words as readonly unknown[]).includes(value) && (value !== "spring" || hasSpring), (value) => {
      change[(name === "merge" ? "heads" : name) as "scale"] = value;
    });
  }
  for (const [name, key] of Object.entries(SWITCHES)) take(name, (value) => typeof value === "boolean", (value) => (change[key] = value));
  take("layer", isCall, (value) => (change.layer = value));
  take("head", isHead, (value) => (change.head = value));
  take("heads", (value) => Array.isArray(value) && value.every(isHead), (value) => (change.chosenHeads = new Set<number>(value)));
  take("layers", (value) => Array.isArray(value) && value.length > 0 && value.every(isCall), (value: readonly number[]) => {
    change.layersOff = new Set(calls.map((call) => call.number).filter((n) => !value.includes(n)));
  });
  take("solo", (value) => {
    const { call, head } = asRecord(value) ?? {};
    return value === null || (isCall(call) && isCount(head) && head < calls[call as number]!.heads);
  }, (value) => (change.solo = value));
  return change;
}

const EDGE_NAMES = ["call", "head", "query", "key", "kind"] as const;

/** Find what a state selects; undefined if it says nothing that is there. */
export function readSelection(value: unknown, model: Model): Selection | null | undefined {
  if (value === null) return null;
  const wanted = asRecord(value);
  const { scene, graph } = model;
  if (wanted?.["kind"] === "token") {
    const { side, token, plane = 0 } = wanted;
    const found = isCount(side) ? scene.sides[side] : undefined;
    if (!found || !isCount(token) || !isCount(plane) || token >= found.tokens.length || plane >= found.planes || found.padded[token]) return undefined;
    return { kind: "token", side: side as number, token, plane };
  }
  if (wanted?.["kind"] === "answer") {
    const { answer } = wanted;
    return isCount(answer) && answer < model.index.answers ? { kind: "answer", answer } : undefined;
  }
  const edge = asRecord(wanted?.["edge"]);
  if (wanted?.["kind"] !== "edge" || !edge) return undefined;
  const candidate = findEdge(graph.parts, edge);
  if (candidate) return { kind: "edge", edge: candidate };
  for (let n = 0; n < graph.fixed.length; n++) {
    const found = graph.fixed.at(n);
    if (EDGE_NAMES.every((name) => edge[name] === undefined || edge[name] === found[name])) return { kind: "edge", edge: found };
  }
  return undefined;
}

/** Read a camera and fit it to a canvas of another size; null if it is none. */
export function readCamera(value: unknown, width: number, height: number): Camera | null {
  const said = asRecord(value);
  if (!said) return null;
  const number = (name: string) => (typeof said[name] === "number" && Number.isFinite(said[name]) ? said[name] : Number.NaN);
  const [yaw, pitch, scale, panX, panY] = ["yaw", "pitch", "scale", "panX", "panY"].map(number) as [number, number, number, number, number];
  const centre = Array.isArray(said["centre"]) && said["centre"].length === 3 ? (said["centre"] as number[]) : null;
  const zoom = Math.min(width / number("width"), height / number("height"));
  if (!centre?.every(Number.isFinite) || ![yaw, pitch, scale, panX, panY].every(Number.isFinite) || !(zoom > 0) || !(scale > 0)) return null;
  const lens = typeof said["lens"] === "number" && said["lens"] > 0 ? said["lens"] : Infinity;
  return {
    yaw, pitch: Math.max(-1.5, Math.min(1.5, pitch)), centre: [centre[0]!, centre[1]!, centre[2]!], lens,
    scale: scale * zoom, panX: panX * zoom, panY: panY * zoom,
  };
}

const PREFIX = "#headscape=";

/** A state as the fragment of an address. */
export function toHash(state: State): string {
  return Object.keys(state).length ? PREFIX + encodeURIComponent(JSON.stringify(state)) : "";
}

/** The state that an address names; null if it names none. */
export function fromHash(hash: string): State | null {
  if (!hash.startsWith(PREFIX)) return null;
  try {
    return asRecord(JSON.parse(decodeURIComponent(hash.slice(PREFIX.length)))) ?? null;
  } catch {
    return null; // somebody cut the link
  }
}
