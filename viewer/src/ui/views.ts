/** How each view looks at the graph: direction, lens, and the room that its labels need. */

import { cameraAxes, type Camera, type Margins } from "../maths/camera";
import { parseHex } from "../maths/colour";
import type { EdgeStyle } from "../gl/edges/index";
import type { PlaneShape } from "../gl/planes/index";
import { FLOATS_PER_CURVE } from "../scene/curves";
import { sidesInOrder, START_PITCH, START_YAW, type Places } from "../scene/layout";
import { labelOf } from "./element";
import type { Choice } from "../scene/choice";
import type { Model } from "./model";
import type { Theme } from "./theme";

// Width of a letter of a label, on average; margins need no more than an estimate.
const LETTER_PX = 7.3;

/** Direction and lens of a fresh view. The eye stands at the answer's side and a little above. */
export function startView(model: Model): Pick<Camera, "yaw" | "pitch" | "lens"> {
  if (model.choice.view === "3d") return { yaw: START_YAW, pitch: START_PITCH, lens: 7 };
  return { yaw: 0, pitch: 0, lens: Infinity };
}

/** Free margins, CSS pixels. */
export function marginsOf(model: Model, size: readonly [number, number]): Margins {
  if (model.frame < 0) return { left: 20, right: 20, top: 20, bottom: 20 };
  const longest = (side: number) => {
    const real = model.scene.sides[side]?.tokens ?? [];
    let most = 0;
    for (let n = 0; n < Math.min(real.length, 400); n++) most = Math.max(most, [...labelOf(real[n]!)].length);
    return Math.min(most * LETTER_PX + 20, size[0] * 0.24);
  };
  const { view } = model.choice;
  const tokens = longest(sidesInOrder(model.scene)[0]!);
  const names = (model.scene.outputs?.names ?? []).slice(0, model.index.answers);
  const answers = names.length
    ? Math.min(Math.max(...names.map((name) => [...labelOf(name, 18)].length + 7)) * 7.4 + 18, size[0] * 0.26)
    : tokens;
  if (view === "layer") return { left: tokens, right: tokens, top: 26, bottom: 26 };
  if (view === "front") return { left: tokens, right: answers, top: 32, bottom: 16 };
  return { left: tokens * 0.9, right: answers, top: 28, bottom: 30 };
}

// Sheets reach beyond the middle of their outermost patches.
const SHEET_RIM = 0.6;

// Curves that a fit looks at: the strongest come first, and more do not reach further.
const MOST_FITTED = 4000;
// Where on a curve.
const FITTED_AT = [0.25, 0.5, 0.75];

const CORNERS = [[-1, -1], [1, -1], [-1, 1], [1, 1]] as const;
const RIM = Array.from({ length: 8 }, (_, n) => [Math.cos((n * Math.PI) / 4), Math.sin((n * Math.PI) / 4)] as const);

/** Points that a fitted picture must show: nodes, planes, and the curves on which edges run. */
export function fitPoints(places: Places, curves: Float32Array): Float32Array {
  const corners: number[] = [];
  const [across, up] = places.axes;
  for (const { centre, half, shape } of places.planes) {
    if (shape === "column") continue;
    const rim = shape === "sheet" ? SHEET_RIM * places.spacing : 0;
    for (const [a, b] of shape === "sheet" ? CORNERS : RIM) {
      for (let axis = 0; axis < 3; axis++) {
        corners.push(centre[axis]! + a * (half[0] + rim) * across[axis]! + b * (half[1] + rim) * up[axis]!);
      }
    }
  }
  const end = Math.min(curves.length, MOST_FITTED * FLOATS_PER_CURVE);
  for (let at = 0; at < end; at += FLOATS_PER_CURVE) {
    for (const t of FITTED_AT) {
      const s = 1 - t;
      const parts = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t];
      for (let axis = 0; axis < 3; axis++) {
        corners.push(parts.reduce((sum, part, n) => sum + part * curves[at + 4 * n + axis]!, 0));
      }
    }
  }
  corners.push(...places.reserved);
  const points = new Float32Array(places.positions.length + corners.length);
  points.set(places.positions);
  points.set(corners, places.positions.length);
  return points;
}

/** Planes as the renderer takes them, the nearest first. */
export function planeShapes(places: Places, camera: Camera, theme: Theme): PlaneShape[] {
  const back = cameraAxes(camera.yaw, camera.pitch)[2];
  const depth = (centre: readonly number[]) => back[0] * centre[0]! + back[1] * centre[1]! + back[2] * centre[2]!;
  const [fill, rim] = [parseHex(theme.plane), parseHex(theme.rim)];
  return places.planes
    .filter((plane) => plane.shape !== "column")
    .sort((a, b) => depth(b.centre) - depth(a.centre))
    .map((plane) => {
      const reach = plane.shape === "disc" ? 0 : SHEET_RIM * places.spacing;
      return {
        centre: plane.centre,
        half: [plane.half[0] + reach, plane.half[1] + reach] as const,
        isRound: plane.shape === "disc",
        fill: [...fill, 0.62] as const,
        rim: [...rim, 0.9] as const,
      };
    });
}

// Room that a line keeps free around it, CSS pixels: measured, see docs/readback.md. Few edges in one plane need less.
const CASING = 2.2;
const PLANE_CASING = 1.5;
const MANY_EDGES = 150;
// Paper's edges: one width, only their opacity tells.
const PAPER_WIDTH = 1.5;

/** Widths and opacities of main, fixed and marked edges: fewer may be wider; a selection dims the rest. */
export function edgeStyles(count: number, isDim: boolean, room: number, choice: Pick<Choice, "scale" | "view">): [EdgeStyle, EdgeStyle, EdgeStyle] {
  const fit = Math.min(1, Math.max(0.55, room / 560));
  const widest = Math.max(1.1, fit * Math.min(4, 3.8 * Math.sqrt(420 / Math.max(count, 1))));
  const fixed: EdgeStyle = { width: [0.8, 3], alpha: isDim ? [0.02, 0.1] : [0.06, 0.95], casing: -1 };
  const marked: EdgeStyle = { width: [0.9, 4.2 * fit], alpha: [0.85, 1], casing: 0 };
  if (choice.scale === "paper") return [{ width: [PAPER_WIDTH, PAPER_WIDTH], alpha: isDim ? [0, 0.12] : [0, 1], casing: -1 }, fixed, marked];
  const main: EdgeStyle = isDim
    ? { width: [0.7, widest], alpha: [0.05, 0.12], casing: -1 }
    : { width: [0.7, widest], alpha: [1, 1], casing: fit * (choice.view === "layer" && count <= MANY_EDGES ? PLANE_CASING : CASING) };
  return [main, fixed, marked];
}
