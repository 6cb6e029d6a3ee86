/** What is in a picture: the same that the renderer got, in CSS pixels of the canvas. */

import type { EdgeStyle } from "../../gl/edges/index";
import type { PlaneShape } from "../../gl/planes/index";
import type { BatchName } from "../../gl/renderer";
import type { Camera } from "../../maths/camera";
import { projectCurves } from "../../scene/pick";
import { make } from "../element";
import type { LabelScene } from "../labels";
import type { NodeLooks } from "../looks";
import type { Stage } from "../stage";

export interface ShotEdges {
  readonly count: number; // as drawn: the first so many
  readonly flat: Float32Array; // x, y of four control points an edge
  readonly looks: Uint8Array; // strength, hue row, dashes, taper
  readonly style: EdgeStyle;
}

export interface Shot extends LabelScene {
  readonly size: readonly [number, number];
  readonly camera: Camera;
  readonly nodes: NodeLooks;
  readonly edges: Record<BatchName, ShotEdges>; // the strongest first
  readonly planes: readonly PlaneShape[]; // the nearest first
  readonly pictures: string; // all patches as one, address of its data; "": there are none
}

/** What the stage shows now; null where it shows nothing. */
export function takeShot(stage: Stage): Shot | null {
  stage.settle();
  const { camera, last, model, places, lit, theme, screen } = stage;
  if (!camera || !last) return null;
  const { picture, nodes } = last;
  const [width, height] = picture.frame.size as [number, number];
  const batch = (name: BatchName): ShotEdges => {
    const { count, style } = picture.edges[name];
    const looks = stage.looks[name] ?? new Uint8Array(0);
    return { count: Math.min(count, looks.length / 4), looks, style, flat: projectCurves(stage.curvesFor(name), count, camera, width, height) };
  };
  return {
    model, places, screen, lit, theme, camera, nodes, radii: nodes.radii, size: [width, height], planes: picture.planes,
    pictures: nodes.pictures.length ? pixelsOf(stage, 2, true)?.toDataURL() ?? "" : "",
    edges: { main: batch("main"), fixed: batch("fixed"), marked: batch("marked") },
  };
}

/** The picture as pixels, `scale` of them a CSS pixel, on its paper; null where there is none. */
export function pixelsOf(stage: Stage, scale: number, onlyPatches = false): HTMLCanvasElement | null {
  stage.settle();
  const out = make("canvas");
  const context = out.getContext("2d");
  if (!stage.last || !stage.surface.renderer || !context) return null;
  stage.draw(scale, onlyPatches); // what is copied before the browser shows it need not be preserved
  [out.width, out.height] = [stage.canvas.width, stage.canvas.height];
  context.fillStyle = stage.theme.paper;
  if (!onlyPatches) context.fillRect(0, 0, out.width, out.height);
  for (const layer of onlyPatches ? [stage.canvas] : [stage.canvas, stage.overlay]) context.drawImage(layer, 0, 0);
  stage.draw();
  return out;
}
