/** Where nodes stand. Every layout is a plain function of the scene and the choice. */

import type { SceneData, SideData } from "../wire/scene";
import type { Choice, LayoutName } from "./choice";
import { nodeOf, type NodeIndex } from "./nodes";

export interface Places {
  readonly positions: Float32Array; // (node, 3); NaN: not drawn
  readonly reserved: readonly number[]; // (place, 3): where tokens will stand that a growing text does not have yet
  readonly planes: readonly PlanePlace[];
  readonly axes: readonly [Triple, Triple]; // across and up in every plane
  readonly spacing: number; // between neighbouring tokens, in units
  readonly gap: number; // between planes
}

export type Triple = readonly [number, number, number];

export interface PlanePlace {
  readonly side: number;
  readonly plane: number;
  readonly centre: Triple;
  readonly half: readonly [number, number]; // half width across, half height
  readonly shape: "disc" | "sheet" | "column";
}

// Direction of the first look at the stack, radians: from the answer's side and a little above.
export const START_YAW = 0.38;
export const START_PITCH = 0.3;
// Space between the towers of two sides, where a plane is 2 high.
const TOWER_GAP = 0.5;
// Columns between the last plane of one side and the first of the next.
const SIDE_STEP = 1.1;
const SIDE_STEP_FRONT = 1.9;
// Distance of planes: nearer and one hides the next, further and the stack falls apart.
const LEAST_GAP = 0.54;
const LEAST_GAP_SHEETS = 0.9; // pictures hide what is behind them
const LARGEST_GAP = 1.5;
// Rings become upright ellipses to fill tall canvases, up to this height.
const MOST_STRETCH = 1.9;
// Distance of the answers from the last plane, so that its labels find room.
const ANSWER_GAP = 0.95;
// Half width of a disc of one or two tokens.
const LEAST_DISC = 0.4;

/** Tokens of a side that are not padding. */
export function realTokens(side: SideData): number[] {
  return side.tokens.map((_, token) => token).filter((token) => !side.padded[token]);
}

/** Tokens that a layout leaves room for. */
function slotsOf(side: SideData, real: readonly number[]): number {
  return side.slots - side.tokens.length + real.length;
}

type Place = readonly [number, number];

/** Tokens on a circle of radius 1, the first at the top, clockwise; one alone in the middle. */
export function ringPlaces(count: number): Place[] {
  if (count === 1) return [[0, 0]];
  return Array.from({ length: count }, (_, n) => {
    const angle = (2 * Math.PI * n) / Math.max(count, 1);
    return [Math.sin(angle), Math.cos(angle)] as const;
  });
}

/** Tokens in an upright line from 1 down to -1. */
export function linePlaces(count: number): Place[] {
  return Array.from({ length: count }, (_, n) => [0, count > 1 ? 1 - (2 * n) / (count - 1) : 0] as const);
}

/** Patches in the rows and columns of their image, frames side by side, tokens without a patch in rows above. */
export function gridPlaces(side: Pick<SideData, "grid" | "tokens">, real: readonly number[]): Place[] {
  let columns = Math.max(1, Math.ceil(Math.sqrt(real.length)));
  let rows = Math.ceil(real.length / columns);
  let place: readonly number[] = real.map((_, n) => n);
  if (side.grid) {
    const [frames, high, wide] = side.grid;
    [rows, columns] = [high, frames * (wide + 1) - 1];
    const outside = side.tokens.length - frames * high * wide;
    place = real.map((token) => {
      const at = token - outside;
      if (at < 0) return at;
      const within = at % (high * wide);
      return Math.floor(within / wide) * columns + Math.floor(at / (high * wide)) * (wide + 1) + (within % wide);
    });
  }
  const least = place.reduce((low, at) => Math.min(low, at), 0);
  const above = Math.ceil(-least / columns);
  const step = 2 / Math.max(rows + above - 1, columns - 1, 1);
  return place.map((at) => {
    const isOutside = at < 0;
    const column = (isOutside ? at - least : at) % columns;
    const row = isOutside ? Math.floor((at - least) / columns) - above : Math.floor(at / columns);
    return [(column - (columns - 1) / 2) * step, ((rows - above - 1) / 2 - row) * step] as const;
  });
}

/** Places of the real tokens of a side, and of those to come. */
export function planePlaces(name: LayoutName, side: SideData, plane = 0): { real: number[]; places: Place[]; rest: Place[] } {
  const real = realTokens(side);
  const { spring } = side;
  if (name === "spring" && spring) {
    const from = 2 * plane * side.tokens.length;
    return { real, places: real.map((token) => [spring[from + 2 * token]!, spring[from + 2 * token + 1]!] as const), rest: [] };
  }
  const slots = slotsOf(side, real);
  const all = name === "ring" || name === "spring" ? ringPlaces(slots) : name === "line" ? linePlaces(slots)
    : gridPlaces(side, [...real, ...Array.from({ length: slots - real.length }, (_, n) => side.tokens.length + n)]);
  return { real, places: all.slice(0, real.length), rest: all.slice(real.length) };
}

const SHAPES = { ring: "disc", line: "column", grid: "sheet", spring: "disc" } as const;

/** Column at which each side starts, and the last one: sides follow each other, those that are only read come first. */
function sideColumns(scene: SceneData, step: number): { columns: number[]; end: number } {
  const columns = scene.sides.map(() => 0);
  let at = 0;
  for (const side of sidesInOrder(scene)) {
    columns[side] = at;
    at += scene.sides[side]!.planes - 1 + step;
  }
  return { columns, end: at - step };
}

/** Numbers of the sides from left to right. */
export function sidesInOrder(scene: SceneData): number[] {
  const all = scene.sides.map((_, side) => side);
  const asks = (side: number) => scene.calls.some((call) => call.querySide === side);
  return [...all.filter((side) => !asks(side)), ...all.filter(asks)];
}

/** Place all nodes; `aspect` is width / height of the free canvas. */
export function placeNodes(scene: SceneData, index: NodeIndex, choice: Choice, aspect: number): Places {
  if (choice.view === "front") return placeFront(scene, index, aspect);
  if (choice.view === "layer") return placeLayer(scene, index, choice, aspect);
  return placeStack(scene, index, choice, aspect);
}

function placesOf(layout: LayoutName, side: SideData): Place[] {
  const { places, rest } = planePlaces(layout, side);
  return [...places, ...rest];
}

function spacingOf(places: readonly Place[]): number {
  const [a, b] = places;
  return a && b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0.5;
}

function placeStack(scene: SceneData, index: NodeIndex, choice: Choice, aspect: number): Places {
  const positions = new Float32Array(index.count * 3).fill(Number.NaN);
  const reserved: number[] = [];
  const { columns, end } = sideColumns(scene, SIDE_STEP);
  const last = end + (index.answers ? 1.5 : 0);
  const { gap, stretch } = stackProportions(last, scene.sides.length, choice.layout, aspect);
  const planes: PlanePlace[] = [];
  let spacing = Infinity;
  const baseOf = (side: number) => ((scene.sides.length - 1) / 2 - side) * (2 * stretch + TOWER_GAP);
  scene.sides.forEach((side, s) => {
    spacing = Math.min(spacing, spacingOf(choice.layout === "spring" ? ringPlaces(realTokens(side).length) : placesOf(choice.layout, side)));
    for (let plane = 0; plane < side.planes; plane++) {
      const { real, places, rest } = planePlaces(choice.layout, side, plane);
      const x = (columns[s]! + plane) * gap;
      real.forEach((token, n) => {
        const [across, up] = places[n]!;
        positions.set([x, up * stretch + baseOf(s), -across], 3 * nodeOf(index, s, plane, token));
      });
      for (const [across, up] of rest) reserved.push(x, up * stretch + baseOf(s), -across);
      const [wide, high] = halfOf([...places, ...rest], choice.layout);
      planes.push({ side: s, plane, centre: [x, baseOf(s), 0], half: [wide, high * stretch], shape: SHAPES[choice.layout] });
    }
  });
  const answering = scene.outputs?.side ?? 0;
  const reach = Math.min(0.9, 0.3 * (index.answers - 1));
  for (let answer = 0; answer < index.answers; answer++) {
    const up = index.answers > 1 ? reach - (2 * reach * answer) / (index.answers - 1) : 0;
    const x = (columns[answering]! + scene.sides[answering]!.planes - 1) * gap + Math.max(gap, ANSWER_GAP);
    positions.set([x, up * stretch + baseOf(answering), 0], 3 * (index.firstAnswer + answer));
  }
  return { positions, reserved, planes, axes: [[0, 0, -1], [0, 1, 0]], spacing, gap };
}

/** Distance and height of planes such that the stack, as first seen, fills a canvas of this aspect. */
function stackProportions(
  last: number, towers: number, layout: LayoutName, aspect: number,
): { gap: number; stretch: number } {
  const [cy, sy, cp, sp] = [Math.cos(START_YAW), Math.sin(START_YAW), Math.cos(START_PITCH), Math.sin(START_PITCH)];
  const between = (towers - 1) * TOWER_GAP;
  const most = layout === "grid" ? 1 : MOST_STRETCH;
  // Seen from START_YAW the stack is last * gap * cy + 2 * sy wide and falls by sy * sp a gap.
  const tallest = (2 * towers * most + between) * cp;
  const wanted = (aspect * tallest - 2 * sy) / Math.max(last * (cy - aspect * sy * sp), 0.01);
  const gap = Math.min(LARGEST_GAP, Math.max(layout === "grid" ? LEAST_GAP_SHEETS : LEAST_GAP, wanted));
  const high = (last * gap * cy + 2 * sy) / aspect - last * gap * sy * sp;
  const stretch = Math.min(most, Math.max(1, (high / cp - between) / (2 * towers)));
  return { gap, stretch };
}

function halfOf(places: readonly Place[], layout: LayoutName): [number, number] {
  const least = layout === "ring" ? LEAST_DISC : 0.05;
  const spread = (axis: 0 | 1) => places.reduce((most, place) => Math.max(most, Math.abs(place[axis])), least);
  return [spread(0), spread(1)];
}

/** Planes as columns from left to right, tokens from top to bottom. */
function placeFront(scene: SceneData, index: NodeIndex, aspect: number): Places {
  const positions = new Float32Array(index.count * 3).fill(Number.NaN);
  const reserved: number[] = [];
  const { columns, end } = sideColumns(scene, SIDE_STEP_FRONT);
  const last = end + (index.answers ? 1.15 : 0);
  const gap = (2 * aspect) / Math.max(last, 1);
  const planes: PlanePlace[] = [];
  let spacing = Infinity;
  scene.sides.forEach((side, s) => {
    const { real, places, rest } = planePlaces("line", side);
    spacing = Math.min(spacing, spacingOf([...places, ...rest]));
    for (let plane = 0; plane < side.planes; plane++) {
      const x = (columns[s]! + plane) * gap;
      real.forEach((token, n) => positions.set([x, places[n]![1], 0], 3 * nodeOf(index, s, plane, token)));
      for (const [, up] of rest) reserved.push(x, up, 0);
      planes.push({ side: s, plane, centre: [x, 0, 0], half: [0.02, 1], shape: "column" });
    }
  });
  for (let answer = 0; answer < index.answers; answer++) {
    const reach = Math.min(0.75, 0.3 * (index.answers - 1));
    const up = index.answers > 1 ? reach - (2 * reach * answer) / (index.answers - 1) : 0;
    positions.set([last * gap, up, 0], 3 * (index.firstAnswer + answer));
  }
  return { positions, reserved, planes, axes: [[1, 0, 0], [0, 1, 0]], spacing, gap };
}

/** The one plane in which a call acts, from above; for a cross call the two sides as two columns. */
function placeLayer(scene: SceneData, index: NodeIndex, choice: Choice, aspect: number): Places {
  const positions = new Float32Array(index.count * 3).fill(Number.NaN);
  const reserved: number[] = [];
  const planes: PlanePlace[] = [];
  const axes: Places["axes"] = [[1, 0, 0], [0, 1, 0]];
  const call = scene.calls[choice.layer];
  if (!call) return { positions, reserved, planes, axes, spacing: 0.1, gap: 1 };
  const put = (s: number, plane: number, x: number, layout: LayoutName, stretch: number) => {
    const { real, places, rest } = planePlaces(layout, scene.sides[s]!, plane);
    const shape = SHAPES[layout];
    const [w, h] = halfOf([...places, ...rest], layout);
    for (const [across, up] of rest) reserved.push(x + across * stretch, up, 0);
    real.forEach((token, n) => {
      const [across, up] = places[n]!;
      positions.set([x + across * stretch, up, 0], 3 * nodeOf(index, s, plane, token));
    });
    planes.push({ side: s, plane, centre: [x, 0, 0], half: [w * stretch, h], shape });
    return spacingOf([...places, ...rest]);
  };
  if (call.querySide === call.keySide) {
    const stretch = choice.layout === "ring" ? Math.min(1.35, Math.max(1, aspect * 0.85)) : 1;
    const spacing = put(call.querySide, call.plane, 0, choice.layout, stretch);
    return { positions, reserved, planes, axes, spacing, gap: 1 };
  }
  const reach = Math.min(1.2, 0.7 * aspect);
  const keys = put(call.keySide, scene.sides[call.keySide]!.planes - 1, -reach, "line", 1);
  const queries = put(call.querySide, call.plane + 1, reach, "line", 1);
  return { positions, reserved, planes, axes, spacing: Math.min(keys, queries), gap: 2 * reach };
}
