/** Labels of the graph: which there may be, and drawing those that fit. */

import { placeLabels, type LabelWish } from "../maths/boxes";
import { roundPercent } from "../maths/digits";
import { nodeOf } from "../scene/nodes";
import type { Places } from "../scene/layout";
import { labelOf } from "./element";
import type { Model } from "./model";
import type { Theme } from "./theme";

export const LABEL_FONT = "12px system-ui, -apple-system, 'Segoe UI', sans-serif";
const STRONG_FONT = "600 12px system-ui, -apple-system, 'Segoe UI', sans-serif";
const CAPTION_FONT = "11px system-ui, -apple-system, 'Segoe UI', sans-serif";
const HEIGHT = 15;
// Where rows are as close as this, labels are a little smaller, so that each row still has its own.
const CLOSE_FONT = "11px system-ui, -apple-system, 'Segoe UI', sans-serif";
const CLOSE_HEIGHT = 11;
const CLOSE_PX = 17;
// Labels in one picture: more is a wall of text.
const MOST_LABELS = 400;
const FROM_NODE = 7;

type Side = "left" | "right" | "above" | "below";

interface Wish extends LabelWish {
  readonly text: string;
  readonly font: string;
  readonly colour: string;
  readonly alpha: number;
}

/** What labels are drawn with: a canvas, or whatever keeps them as text. */
export interface LabelPen {
  font: string;
  globalAlpha: number;
  fillStyle: CanvasRenderingContext2D["fillStyle"];
  strokeStyle: CanvasRenderingContext2D["strokeStyle"];
  lineWidth: number;
  textBaseline: CanvasTextBaseline;
  lineJoin: CanvasLineJoin;
  textAlign: CanvasTextAlign;
  direction: CanvasDirection;
  measureText(text: string): { width: number };
  strokeText(text: string, x: number, y: number): void;
  fillText(text: string, x: number, y: number): void;
}

export interface LabelScene {
  readonly model: Model;
  readonly places: Places;
  readonly screen: Float32Array; // x, y, depth of each node, CSS pixels
  readonly radii: Float32Array;
  readonly lit: ReadonlySet<number> | null; // nodes that a selection leaves bright
  readonly theme: Theme;
}

/** Collects wishes for one picture. */
class Wishes {
  readonly list: Wish[] = [];

  constructor(private readonly context: LabelPen) {}

  add(text: string, at: readonly [number, number, number], sides: readonly Side[], look: {
    priority: number; colour: string; font?: string; alpha?: number; height?: number;
  }): void {
    const [x, y, radius] = at;
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const { font = LABEL_FONT, height = HEIGHT } = look;
    this.context.font = font;
    const width = Math.ceil(this.context.measureText(text).width);
    const gap = radius + FROM_NODE - 3;
    const spots = sides.map((side): [number, number] => {
      if (side === "left") return [x - gap - width, y - height / 2];
      if (side === "right") return [x + gap, y - height / 2];
      return [x - width / 2, side === "above" ? y - gap - height + 2 : y + gap - 1];
    });
    this.list.push({ text, font, width, height, spots, priority: look.priority, colour: look.colour, alpha: look.alpha ?? 1 });
  }
}

/** Draw the labels of a picture on a cleared canvas whose units are CSS pixels. */
export function drawLabels(context: LabelPen, width: number, height: number, scene: LabelScene): void {
  const wishes = new Wishes(context);
  addTokens(wishes, scene);
  addAnswers(wishes, scene);
  addCaptions(wishes, scene);
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.textAlign = "left";
  context.direction = "ltr";
  for (const { wish: n, left, top } of placeLabels(wishes.list, width, height, MOST_LABELS)) {
    const wish = wishes.list[n]!;
    context.font = wish.font;
    context.globalAlpha = 1;
    context.strokeStyle = scene.theme.paper;
    context.lineWidth = 3.5;
    context.strokeText(wish.text, left, top + wish.height / 2);
    context.globalAlpha = wish.alpha;
    context.fillStyle = wish.colour;
    context.fillText(wish.text, left, top + wish.height / 2);
  }
  context.globalAlpha = 1;
}

function addTokens(wishes: Wishes, scene: LabelScene): void {
  const { model, places } = scene;
  const { choice } = model;
  const sides = model.scene.sides;
  for (const plane of places.planes) {
    const side = sides[plane.side]!;
    const isFirst = plane.plane === 0;
    const isLast = plane.plane === side.planes - 1;
    const isEnd = choice.view === "layer" || isFirst || isLast;
    const centre = planeCentre(scene, plane.side, plane.plane);
    const isClose = choice.view === "front" && rowStep(scene, plane.side, plane.plane) < CLOSE_PX;
    for (let token = 0; token < side.tokens.length; token++) {
      const node = nodeOf(model.index, plane.side, plane.plane, token);
      const [x, y] = [scene.screen[3 * node]!, scene.screen[3 * node + 1]!];
      if (!Number.isFinite(x)) continue;
      const picked = pickedTokens(model, plane.side, token, plane.plane);
      if (!isEnd && picked < 2) continue;
      const isPictured = side.patches !== null && !side.patches.unpictured.has(token);
      if (isPictured && picked === 0) continue;
      const where = choice.view === "front" || plane.shape === "column"
        ? columnSides(scene, isFirst, isLast, picked, plane.centre[0])
        : ringSides(x - centre[0], y - centre[1], centre[2], choice.view === "3d", isFirst, isLast, picked);
      if (!where) continue;
      const isLit = !scene.lit || scene.lit.has(node);
      wishes.add(labelOf(side.tokens[token]!), [x, y, scene.radii[node]!], where, {
        priority: picked * 100 + (isLit ? 20 : 0) + (model.received.tokens[plane.side]![token] ?? 0) / 100,
        colour: picked ? scene.theme.mark : scene.theme.ink,
        font: picked ? STRONG_FONT : isClose ? CLOSE_FONT : LABEL_FONT,
        height: isClose ? CLOSE_HEIGHT : HEIGHT,
        alpha: isLit ? 1 : 0.38,
      });
    }
  }
}

/** Distance of the first two tokens of a column. */
function rowStep(scene: LabelScene, side: number, plane: number): number {
  const first = nodeOf(scene.model.index, side, plane, 0);
  const rows: number[] = [];
  for (let n = first; rows.length < 2 && n < first + scene.model.scene.sides[side]!.tokens.length; n++) {
    if (Number.isFinite(scene.screen[3 * n + 1]!)) rows.push(scene.screen[3 * n + 1]!);
  }
  return rows.length < 2 ? Infinity : Math.abs(rows[1]! - rows[0]!);
}

/** 0: a token like any other, 1: selected or under the pointer, 2: this very node. */
function pickedTokens(model: Model, side: number, token: number, plane: number): number {
  let picked = 0;
  for (const one of [model.selection, model.hover]) {
    if (one?.kind === "token" && one.side === side && one.token === token) {
      picked = Math.max(picked, one.plane === plane ? 2 : 1);
    }
    if (one?.kind === "edge" && one.edge.call >= 0) {
      const call = model.scene.calls[one.edge.call]!;
      const isEnd =
        (call.querySide === side && one.edge.query === token) || (call.keySide === side && one.edge.key === token);
      if (isEnd) picked = Math.max(picked, plane === call.plane ? 2 : 1);
    }
  }
  return picked;
}

function columnSides(
  scene: LabelScene, isFirst: boolean, isLast: boolean, picked: number, x: number,
): Side[] | null {
  const { model } = scene;
  if (model.choice.view === "layer") return x > 0 ? ["right"] : ["left"];
  if (isFirst) return ["left"];
  // Rows are the same in every column: the right end is labelled where nothing stands behind it.
  const isEmpty = model.index.answers === 0 && scene.places.planes.at(-1)!.plane === scene.model.scene.sides.at(-1)!.planes - 1;
  if (isLast && (isEmpty || picked)) return ["right"];
  return picked > 1 ? ["above", "below", "right", "left"] : null;
}

/** On a ring each token is labelled once: its left half on the first plane, its right half on the last. */
function ringSides(
  dx: number, dy: number, reach: number, isStack: boolean, isFirst: boolean, isLast: boolean, picked: number,
): Side[] | null {
  const isLeft = dx < 0;
  const upright: Side = dy < 0 ? "above" : "below";
  const level: Side = isLeft ? "left" : "right";
  const isPole = Math.abs(dx) < 0.25 * reach;
  if (isStack && !picked) {
    if (isLeft ? !isFirst : !isLast) return null;
  }
  return isPole ? [upright, level] : [level, upright];
}

function planeCentre(scene: LabelScene, side: number, plane: number): [number, number, number] {
  const length = scene.model.scene.sides[side]!.tokens.length;
  let [sumX, sumY, count, reach] = [0, 0, 0, 1];
  const first = nodeOf(scene.model.index, side, plane, 0);
  for (let node = first; node < first + length; node++) {
    const [x, y] = [scene.screen[3 * node]!, scene.screen[3 * node + 1]!];
    if (!Number.isFinite(x)) continue;
    sumX += x;
    sumY += y;
    count++;
  }
  const [x, y] = [sumX / Math.max(count, 1), sumY / Math.max(count, 1)];
  for (let node = first; node < first + length; node++) {
    const away = Math.abs(scene.screen[3 * node]! - x);
    if (away > reach) reach = away;
  }
  return [x, y, reach];
}

function addAnswers(wishes: Wishes, scene: LabelScene): void {
  const { model, theme } = scene;
  const outputs = model.scene.outputs;
  for (let answer = 0; outputs && answer < model.index.answers; answer++) {
    const node = model.index.firstAnswer + answer;
    const isLit = !scene.lit || scene.lit.has(node);
    const name = labelOf(outputs.names[answer]!, 18);
    const share = outputs.probabilities[answer]!;
    const text = Number.isFinite(share) ? `${name}  ${roundPercent(share)}` : name;
    wishes.add(text, [scene.screen[3 * node]!, scene.screen[3 * node + 1]!, scene.radii[node]!], ["right", "above", "below"], {
      priority: 90 - answer, colour: theme.ink, font: answer === 0 ? STRONG_FONT : LABEL_FONT, alpha: isLit ? 1 : 0.45,
    });
  }
}

/** Names of planes: what acts there. */
function addCaptions(wishes: Wishes, scene: LabelScene): void {
  const { model, places, theme } = scene;
  if (model.choice.view === "layer") return;
  for (const plane of places.planes) {
    const call = model.scene.calls.find((one) => one.querySide === plane.side && one.plane === plane.plane);
    const mark = call?.kind === "cross" ? "×" : "";
    // Without a call: behind the last layer; or a side that no layer works on, and is only read.
    const text = call ? `L${call.layer}${mark}` : plane.plane > 0 ? "out" : labelOf(model.scene.sides[plane.side]!.name);
    const length = model.scene.sides[plane.side]!.tokens.length;
    const first = nodeOf(model.index, plane.side, plane.plane, 0);
    const isAbove = model.choice.view === "front";
    let best = -1;
    for (let node = first; node < first + length; node++) {
      const y = scene.screen[3 * node + 1]!;
      if (!Number.isFinite(y)) continue;
      const beyond = best < 0 || (isAbove ? y < scene.screen[3 * best + 1]! : y > scene.screen[3 * best + 1]!);
      if (beyond) best = node;
    }
    if (best < 0) continue;
    const x = isAbove ? scene.screen[3 * best]! : planeCentre(scene, plane.side, plane.plane)[0];
    const y = scene.screen[3 * best + 1]!;
    wishes.add(text, [x, y, isAbove ? Math.max(8, scene.radii[best]!) : 12], isAbove ? ["above"] : ["below"], {
      priority: 60, colour: theme.soft, font: CAPTION_FONT,
    });
  }
}
