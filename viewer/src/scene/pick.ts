/** What lies under the pointer: nodes first, then the strongest of the edges nearby. */

import { curveDistance } from "../maths/curve";
import { projectPoints, type Camera } from "../maths/camera";

// CSS pixels around the pointer.
const NODE_REACH = 9;
const EDGE_REACH = 5;
// So near that the pointer is on the line: the first such edge is the strongest of them.
const GOOD_HIT = 2;

/** Return the nearest node within reach, or -1; `radii` are CSS pixels. */
export function pickNode(screen: Float32Array, radii: Float32Array, x: number, y: number): number {
  let best = -1;
  let nearest = Infinity;
  for (let node = 0; node < radii.length; node++) {
    const distance = Math.hypot(screen[3 * node]! - x, screen[3 * node + 1]! - y);
    if (distance > Math.max(NODE_REACH, radii[node]! + 2) || !(distance < nearest)) continue;
    nearest = distance;
    best = node;
  }
  return best;
}

/** Projects curves to the canvas: x, y of four control points an edge. */
export function projectCurves(
  curves: Float32Array, count: number, camera: Camera, width: number, height: number,
): Float32Array {
  const points = new Float32Array(count * 12);
  for (let n = 0; n < count * 4; n++) {
    points[3 * n] = curves[4 * n]!;
    points[3 * n + 1] = curves[4 * n + 1]!;
    points[3 * n + 2] = curves[4 * n + 2]!;
  }
  const seen = projectPoints(points, camera, width, height);
  const flat = new Float32Array(count * 8);
  for (let n = 0; n < count * 4; n++) {
    flat[2 * n] = seen[3 * n]!;
    flat[2 * n + 1] = seen[3 * n + 1]!;
  }
  return flat;
}

/** Return the picked edge, or -1: the strongest that the pointer touches, else the nearest within reach. */
export function pickEdge(flat: Float32Array, x: number, y: number): number {
  let best = -1;
  let nearest = Infinity;
  for (let n = 0; n < flat.length / 8; n++) {
    const distance = curveDistance(flat.subarray(8 * n, 8 * n + 8), x, y, EDGE_REACH);
    if (distance <= GOOD_HIT) return n;
    if (distance <= EDGE_REACH && distance < nearest) {
      nearest = distance;
      best = n;
    }
  }
  return best;
}
