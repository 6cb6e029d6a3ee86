/** Curves of edges: four control points each, for the renderer and for picking alike. */

import { ATTENTION, CROSS, FORWARD, VALUE, type Edges } from "./edges";
import type { LayoutName } from "./choice";
import { laneGap, type Lanes } from "./lanes";
import type { Places } from "./layout";
import { nameNode, type NodeIndex } from "./nodes";

export const FLOATS_PER_CURVE = 16; // four control points: x, y, z and one free number

// Half height of the spindle of a feed-forward block that makes up the whole stream, in distances of tokens.
const WIDEST_SPINDLE = 0.8;

export interface Lines {
  readonly layout: LayoutName;
  readonly isStack: boolean; // 3D: planes stand upright across x
  readonly lanes: Lanes;
  readonly isStraight: boolean; // straight lines, as the term paper draws them
}

/** Control points of the first `count` edges; edges whose ends are not drawn get NaN. */
export function buildCurves(edges: Edges, count: number, index: NodeIndex, places: Places, lines: Lines): Float32Array {
  const out = new Float32Array(count * FLOATS_PER_CURVE);
  const centres = new Map(places.planes.map((plane) => [`${plane.side} ${plane.plane}`, plane.centre]));
  const at = (node: number): [number, number, number] => [
    places.positions[3 * node]!, places.positions[3 * node + 1]!, places.positions[3 * node + 2]!,
  ];
  const gap = laneGap(places.spacing);
  for (let n = 0; n < count; n++) {
    const [start, end] = [at(edges.from[n]!), at(edges.to[n]!)];
    const lane = lines.lanes.of(edges, n) * gap;
    let inner: [number[], number[]];
    if (edges.kind[n] === ATTENTION) {
      const name = nameNode(index, edges.from[n]!);
      const centre = name.kind === "token" ? centres.get(`${name.side} ${name.plane}`) : undefined;
      inner = withinPlane(start, end, centre ?? [0, 0, 0], lane, lines, places.spacing);
    } else {
      const isFan = edges.kind[n] === VALUE || edges.kind[n] === CROSS;
      const bulge = (edges.head[n] ? -1 : 1) * edges.weight[n]! * places.spacing * WIDEST_SPINDLE;
      inner = betweenPlanes(start, end, edges.kind[n] === FORWARD ? bulge : isFan ? (lane * 4) / 3 : 0);
    }
    if (lines.isStraight && edges.from[n] !== edges.to[n]) inner = [mixed(start, end, 1 / 3), mixed(start, end, 2 / 3)];
    const points = [start, inner[0], inner[1], end];
    for (let p = 0; p < 4; p++) for (let axis = 0; axis < 3; axis++) {
      out[n * FLOATS_PER_CURVE + 4 * p + axis] = points[p]![axis]!;
    }
  }
  return out;
}

function mixed(start: readonly number[], end: readonly number[], t: number): number[] {
  return start.map((value, axis) => value + (end[axis]! - value) * t);
}

// How far a ribbon bends, 1/3 is straight: ribbons that leave quite level meet half-way, where none can be told apart.
const SLOPE = 0.2;

/** Ribbon that leaves and arrives nearly level; `lane` moves its middle upwards, square to its course. */
function betweenPlanes(start: number[], end: number[], lane: number): [number[], number[]] {
  const course = end.map((value, axis) => value - start[axis]!);
  const length = Math.hypot(...course) || 1;
  const up = course.map((value, axis) => (axis === 1 ? 1 : 0) - (value * course[1]!) / length ** 2);
  const rise = Math.hypot(...up);
  const aside = up.map((value) => (rise > 1e-6 ? (value * lane) / rise : 0));
  const inner = (from: number[], turn: number) => from.map((value, axis) => value + turn * course[axis]! * (axis === 0 ? 1 / 3 : SLOPE) + aside[axis]!);
  return [inner(start, 1), inner(end, -1)];
}

/** Arc within a plane: bends towards the centre (ring), sideways (line) or a little (grid). */
function withinPlane(
  start: number[], end: number[], centre: readonly number[], lane: number, lines: Lines,
  spacing: number,
): [number[], number[]] {
  // In-plane axes: across (z in the stack, x from above) and up (y).
  const across = lines.isStack ? 2 : 0;
  const [dx, dy] = [end[across]! - start[across]!, end[1]! - start[1]!];
  const chord = Math.hypot(dx, dy);
  const [ox, oy] = [start[across]! - centre[across]!, start[1]! - centre[1]!];
  if (chord < 1e-6) return loop(start, lines.layout === "ring" && Math.hypot(ox, oy) > 1e-6 ? [-ox, -oy] : [1, 1], across, lane, spacing);
  const middle = [(start[across]! + end[across]!) / 2, (start[1]! + end[1]!) / 2];
  // Across the chord, always to the same side of an undirected pair.
  const flip = dy < 0 || (dy === 0 && dx < 0) ? -1 : 1;
  const [px, py] = [(-dy / chord) * flip, (dx / chord) * flip];
  let bend = 2 * lane;
  if (lines.layout === "line") bend += chord * (lines.isStack ? 0.5 : -0.5); // away from the labels
  if (lines.layout === "grid") bend += chord * 0.12;
  let [qx, qy] = [middle[0]! + px * bend, middle[1]! + py * bend];
  if (lines.layout === "ring") {
    const pull = 0.55 * Math.sqrt(Math.min(1, chord / 2));
    qx += (centre[across]! - middle[0]!) * pull;
    qy += (centre[1]! - middle[1]!) * pull;
  }
  const toward = (from: number[]): number[] => {
    const point = [from[0]!, from[1]! + ((qy - from[1]!) * 2) / 3, from[2]!];
    point[across] = from[across]! + ((qx - from[across]!) * 2) / 3;
    return point;
  };
  return [toward(start), toward(end)];
}

/** A petal at the node, towards the centre of a ring: a token's attention to itself. */
function loop(
  at: number[], towards: readonly [number, number], across: number, lane: number, spacing: number,
): [number[], number[]] {
  const far = Math.hypot(...towards) || 1;
  const [ux, uy] = [towards[0] / far, towards[1] / far];
  const size = Math.min(0.16, 0.7 * spacing) + 2 * Math.abs(lane) + (lane < 0 ? laneGap(spacing) : 0);
  const petal = (turn: number): number[] => {
    const point = [at[0]!, at[1]! + size * (uy + 0.6 * turn * ux), at[2]!];
    point[across] = at[across]! + size * (ux - 0.6 * turn * uy);
    return point;
  };
  return [petal(1), petal(-1)];
}
