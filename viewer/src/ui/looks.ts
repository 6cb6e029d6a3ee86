/** From data to what the renderer takes: bytes of edges, floats of nodes, the atlas of pictures. */

import type { Atlas } from "../gl/nodes/index";
import { FLOATS_PER_NODE } from "../gl/nodes/index";
import { hueOfHead } from "../scene/choice";
import { ANSWER, ATTENTION, RESIDUAL, type Edges } from "../scene/edges";
import type { Places } from "../scene/layout";
import { nameNode } from "../scene/nodes";
import type { Model } from "./model";
import { ROWS } from "./theme";

/** Looks of the first `count` edges: strength, hue row, dashes, taper. */
export function edgeLooks(model: Model, edges: Edges, count: number, strength: Float32Array): Uint8Array {
  const { scene, choice } = model;
  const looks = new Uint8Array(count * 4);
  const largest = largestPart(edges, count);
  for (let n = 0; n < count; n++) {
    const kind = edges.kind[n]!;
    let value = strength[n] ?? 0;
    let row: number;
    if (kind === RESIDUAL) row = ROWS.residual;
    else if (kind === ANSWER) {
      row = edges.weight[n]! >= 0 ? ROWS.plus : ROWS.minus;
      value = Math.abs(edges.weight[n]!) / largest;
      // The sign has a second cue beside its colour.
      looks[4 * n + 2] = edges.weight[n]! < 0 ? 255 : 0;
    } else {
      const hue = hueOfHead(choice, edges.head[n]!, scene.calls[edges.call[n]!]!.heads);
      row = hue < 0 ? ROWS.one : hue;
    }
    looks[4 * n] = Math.round(255 * Math.min(1, Math.max(0, value)));
    looks[4 * n + 1] = row;
    looks[4 * n + 3] = kind === ATTENTION && choice.direction === "forward" ? 255 : 0;
  }
  return looks;
}

function largestPart(edges: Edges, count: number): number {
  let largest = 1e-30;
  for (let n = 0; n < count; n++) {
    if (edges.kind[n] === ANSWER) largest = Math.max(largest, Math.abs(edges.weight[n]!));
  }
  return largest;
}

export interface NodeLooks {
  readonly floats: Float32Array;
  readonly radii: Float32Array; // CSS pixels; of pictures too, for picking
}

/** Radii grow with the attention that a node receives; pictures keep their size. */
export function nodeLooks(
  model: Model, places: Places, lit: ReadonlySet<number> | null, scale: number,
): NodeLooks {
  const { index, scene, received } = model;
  const floats = new Float32Array(index.count * FLOATS_PER_NODE);
  const radii = new Float32Array(index.count);
  const room = Math.max(1.4, Math.min(4, places.spacing * scale * 0.2));
  const selected = [model.selection, model.hover].filter((one) => one?.kind === "token");
  for (let node = 0; node < index.count; node++) {
    const name = nameNode(index, node);
    const at = node * FLOATS_PER_NODE;
    for (let axis = 0; axis < 3; axis++) floats[at + axis] = places.positions[3 * node + axis]!;
    let picture = -1;
    let radius: number;
    let isMarked = false;
    if (name.kind === "answer") {
      const share = scene.outputs!.probabilities[name.answer]!;
      radius = 4 + 5 * Math.sqrt(Number.isFinite(share) ? share : 0);
    } else {
      const share = received.nodes[node]!;
      radius = room * (0.75 + 0.55 * Math.sqrt(Math.min(Number.isFinite(share) ? share : 0.4, 9)));
      isMarked = selected.some((one) => one?.kind === "token" && one.side === name.side && one.token === name.token);
      const patches = scene.sides[name.side]!.patches;
      if (patches && !patches.unpictured.has(name.token)) picture = pictureNumber(model, name.side, name.token);
    }
    if (isMarked && picture < 0) radius = Math.max(radius + 1, 4);
    floats[at + 3] = picture >= 0 ? places.spacing * 0.42 : radius;
    floats[at + 4] = isMarked ? ROWS.mark : name.kind === "answer" && name.answer === 0 ? ROWS.plus : ROWS.node;
    floats[at + 5] = isMarked ? ROWS.mark : ROWS.paper;
    floats[at + 6] = picture;
    floats[at + 7] = !lit || lit.has(node) ? 1 : 0.3;
    radii[node] = picture >= 0 ? places.spacing * 0.42 * scale : radius;
  }
  return { floats, radii };
}

function pictureNumber(model: Model, side: number, token: number): number {
  let first = 0;
  for (let s = 0; s < side; s++) if (model.scene.sides[s]!.patches) first += model.scene.sides[s]!.tokens.length;
  return first + token;
}

// Side of a picture in the atlas: larger patches are drawn smaller than this anyway.
const MOST_PATCH = 32;

/** All patches of all sides as one texture; null where there are none. */
export function pictureAtlas(model: Model): Atlas | null {
  const sides = model.scene.sides.filter((side) => side.patches);
  if (!sides.length) return null;
  const cell = Math.min(MOST_PATCH, Math.max(...sides.map((side) => Math.max(side.patches!.width, side.patches!.height))));
  const count = sides.reduce((sum, side) => sum + side.tokens.length, 0);
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  const [width, height] = [columns * cell, rows * cell];
  const rgba = new Uint8Array(width * height * 4);
  let first = 0;
  for (const side of sides) {
    const { width: w, height: h, rgb } = side.patches!;
    for (let token = 0; token < side.tokens.length; token++) {
      const [left, top] = [((first + token) % columns) * cell, Math.floor((first + token) / columns) * cell];
      for (let y = 0; y < cell; y++) for (let x = 0; x < cell; x++) {
        const from = ((token * h + Math.floor((y * h) / cell)) * w + Math.floor((x * w) / cell)) * 3;
        const to = ((top + y) * width + left + x) * 4;
        rgba[to] = rgb[from]!;
        rgba[to + 1] = rgb[from + 1]!;
        rgba[to + 2] = rgb[from + 2]!;
        rgba[to + 3] = 255;
      }
    }
    first += side.tokens.length;
  }
  return { columns, rows, width, height, rgba };
}

/** Nodes at the ends of edges. */
export function endsOf(edges: Edges): Set<number> {
  const ends = new Set<number>();
  for (let n = 0; n < edges.length; n++) {
    ends.add(edges.from[n]!);
    ends.add(edges.to[n]!);
  }
  return ends;
}

