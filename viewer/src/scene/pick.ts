/** What lies under the pointer: nodes first, then the strongest of the edges nearby. */

import { cubicAt, curveDistance } from "../maths/curve";
import { cameraAxes, type Camera } from "../maths/camera";

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

/** Projects curves to the canvas: x, y of four control points an edge. One loop, as a pointer that moves waits for it. */
export function projectCurves(
  curves: Float32Array, count: number, camera: Camera, width: number, height: number,
): Float32Array {
  const [right, up, back] = cameraAxes(camera.yaw, camera.pitch);
  const [cx, cy, cz] = camera.centre;
  const [rx, ry, rz, ux, uy, uz, bx, by, bz] = [...right, ...up, ...back];
  const [left, top, inverse] = [width / 2 + camera.panX, height / 2 - camera.panY, 1 / camera.lens];
  const flat = new Float32Array(count * 8);
  for (let n = 0; n < count * 4; n++) {
    const x = curves[4 * n]! - cx;
    const y = curves[4 * n + 1]! - cy;
    const z = curves[4 * n + 2]! - cz;
    const factor = camera.scale / Math.max(1 - (bx * x + by * y + bz * z) * inverse, 0.05);
    flat[2 * n] = left + (rx * x + ry * y + rz * z) * factor;
    flat[2 * n + 1] = top - (ux * x + uy * y + uz * z) * factor;
  }
  return flat;
}

/** Return the picked edge, or -1: the strongest that the pointer touches, else the nearest within reach. */
export function pickEdge(flat: Float32Array, x: number, y: number): number {
  let best = -1;
  let nearest = Infinity;
  for (let at = 0; at < flat.length; at += 8) {
    // Most are told by one glance: a cubic lies within the box of its control points.
    const [a, b, c, d] = [flat[at]!, flat[at + 2]!, flat[at + 4]!, flat[at + 6]!];
    if (x < Math.min(a, b, c, d) - EDGE_REACH || x > Math.max(a, b, c, d) + EDGE_REACH) continue;
    const distance = curveDistance(flat.subarray(at, at + 8), x, y, EDGE_REACH);
    if (distance <= GOOD_HIT) return at / 8;
    if (distance <= EDGE_REACH && distance < nearest) {
      nearest = distance;
      best = at / 8;
    }
  }
  return best;
}
