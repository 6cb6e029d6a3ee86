/** A long-lensed camera: turns about a centre, scales in pixels per unit, and fits points into a frame. */

export type Vec3 = readonly [number, number, number];

export interface Camera {
  yaw: number; // radians about the upright axis
  pitch: number; // radians, positive looks down
  centre: Vec3;
  scale: number; // CSS pixels per unit at the centre
  panX: number; // CSS pixels, right
  panY: number; // CSS pixels, up
  lens: number; // distance of the eye in units; Infinity draws without perspective
}

/** Free margins of the picture in CSS pixels. */
export interface Margins {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Unit vectors of the camera: right, up, towards the eye. */
export function cameraAxes(yaw: number, pitch: number): [Vec3, Vec3, Vec3] {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const right: Vec3 = [cy, 0, -sy];
  const up: Vec3 = [-sy * sp, cp, -cy * sp];
  const back: Vec3 = [sy * cp, sp, cy * cp];
  return [right, up, back];
}

function dot(a: Vec3, x: number, y: number, z: number): number {
  return a[0] * x + a[1] * y + a[2] * z;
}

/** Column-major matrix from world to clip space of a canvas of the given CSS size. */
export function cameraMatrix(camera: Camera, width: number, height: number): Float32Array {
  const [right, up, back] = cameraAxes(camera.yaw, camera.pitch);
  const [x, y, z] = camera.centre;
  const inverse = Number.isFinite(camera.lens) ? 1 / camera.lens : 0;
  const row = (axis: Vec3, factor: number) => [
    axis[0] * factor, axis[1] * factor, axis[2] * factor, -dot(axis, x, y, z) * factor,
  ];
  const w = row(back, -inverse);
  w[3]! += 1;
  const [sx, sy] = [(2 * camera.scale) / width, (2 * camera.scale) / height];
  const [px, py] = [(2 * camera.panX) / width, (2 * camera.panY) / height];
  const rx = row(right, sx).map((value, n) => value + px * w[n]!);
  const ry = row(up, sy).map((value, n) => value + py * w[n]!);
  const rz = row(back, -0.001);
  const matrix = new Float32Array(16);
  [rx, ry, rz, w].forEach((values, r) => values.forEach((value, c) => (matrix[4 * c + r] = value)));
  return matrix;
}

/** Project points (x, y, z triples) to CSS pixels of the canvas: (x, y, depth) triples, depth towards the eye. */
export function projectPoints(points: Float32Array, camera: Camera, width: number, height: number): Float32Array {
  const [right, up, back] = cameraAxes(camera.yaw, camera.pitch);
  const [cx, cy, cz] = camera.centre;
  const out = new Float32Array(points.length);
  for (let n = 0; n < points.length; n += 3) {
    const [x, y, z] = [points[n]! - cx, points[n + 1]! - cy, points[n + 2]! - cz];
    const depth = dot(back, x, y, z);
    const factor = camera.scale / Math.max(1 - depth / camera.lens, 0.05);
    out[n] = width / 2 + camera.panX + dot(right, x, y, z) * factor;
    out[n + 1] = height / 2 - camera.panY - dot(up, x, y, z) * factor;
    out[n + 2] = depth;
  }
  return out;
}

/** Return the camera that shows all points within the canvas less its margins; NaN points do not count. */
export function fitCamera(
  points: Float32Array, view: Pick<Camera, "yaw" | "pitch" | "lens">, width: number, height: number, margins: Margins,
): Camera {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let n = 0; n < points.length; n++) {
    const value = points[n]!;
    if (value < low[n % 3]!) low[n % 3] = value;
    if (value > high[n % 3]!) high[n % 3] = value;
  }
  const middle = low.map((value, n) => (Number.isFinite(value) ? (value + high[n]!) / 2 : 0));
  const reach = Math.hypot(...low.map((value, n) => (Number.isFinite(value) ? (high[n]! - value) / 2 : 0)));
  const camera: Camera = {
    ...view, centre: [middle[0]!, middle[1]!, middle[2]!], scale: 1, panX: 0, panY: 0,
    lens: view.lens * Math.max(reach, 0.5),
  };
  const seen = projectPoints(points, camera, 0, 0);
  const box = [Infinity, -Infinity, Infinity, -Infinity];
  for (let n = 0; n < seen.length; n += 3) {
    const [x, y] = [seen[n]!, seen[n + 1]!];
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    box[0] = Math.min(box[0]!, x);
    box[1] = Math.max(box[1]!, x);
    box[2] = Math.min(box[2]!, y);
    box[3] = Math.max(box[3]!, y);
  }
  if (!Number.isFinite(box[0]!)) return { ...camera, scale: 100 };
  const freeX = Math.max(width - margins.left - margins.right, 40);
  const freeY = Math.max(height - margins.top - margins.bottom, 40);
  const scale = Math.min(freeX / Math.max(box[1]! - box[0]!, 0.05), freeY / Math.max(box[3]! - box[2]!, 0.05));
  return {
    ...camera,
    scale,
    panX: (margins.left - margins.right) / 2 - (scale * (box[0]! + box[1]!)) / 2,
    panY: -(margins.top - margins.bottom) / 2 + (scale * (box[2]! + box[3]!)) / 2,
  };
}

/** Mix two cameras; `t` from 0 to 1. The lens mixes by its inverse, since one end may have no perspective. */
export function mixCameras(a: Camera, b: Camera, t: number): Camera {
  const mix = (x: number, y: number) => x + (y - x) * t;
  const inverse = mix(1 / a.lens, 1 / b.lens);
  return {
    yaw: mix(a.yaw, b.yaw),
    pitch: mix(a.pitch, b.pitch),
    centre: [mix(a.centre[0], b.centre[0]), mix(a.centre[1], b.centre[1]), mix(a.centre[2], b.centre[2])],
    scale: Math.exp(mix(Math.log(a.scale), Math.log(b.scale))),
    panX: mix(a.panX, b.panX),
    panY: mix(a.panY, b.panY),
    lens: inverse > 0 ? 1 / inverse : Infinity,
  };
}
