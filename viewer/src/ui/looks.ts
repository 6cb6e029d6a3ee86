/** From data to what the renderer takes: bytes of edges, floats of nodes, the atlas of pictures. */

import type { Atlas } from "../gl/nodes/index";
import { FLOATS_PER_NODE } from "../gl/nodes/index";
import { hueOfHead } from "../scene/choice";
import { ANSWER, ATTENTION, FORWARD, RESIDUAL, type Edges } from "../scene/edges";
import type { Places } from "../scene/layout";
import type { Marks } from "./marks";
import type { Model } from "./model";
import { ROWS } from "./theme";

// Tokens beyond which residual lines are fainter.
const MANY_TOKENS = 28;

/** Looks of the first `count` edges: strength, hue row, dashes, taper. */
export function edgeLooks(model: Model, edges: Edges, count: number, strength: Float32Array): Uint8Array {
  const { scene, choice, knocking } = model;
  const looks = new Uint8Array(count * 4);
  const largest = largestPart(edges, count);
  for (let n = 0; n < count; n++) {
    const kind = edges.kind[n]!;
    let value = strength[n] ?? 0;
    let row: number;
    if (kind === RESIDUAL) {
      row = ROWS.residual;
      // Many parallel lines would make a grey sheet.
      value = 0.55 * Math.min(1, MANY_TOKENS / scene.sides[scene.calls[edges.call[n]!]!.querySide]!.tokens.length);
    }
    else if (kind === FORWARD) row = ROWS.plus;
    else if (kind === ANSWER) {
      row = edges.weight[n]! >= 0 ? ROWS.plus : ROWS.minus;
      value = Math.abs(edges.weight[n]!) / largest;
      // The sign has a second cue beside its colour.
      looks[4 * n + 2] = edges.weight[n]! < 0 ? 255 : 0;
    } else {
      const call = scene.calls[edges.call[n]!]!;
      const hue = hueOfHead(choice, edges.head[n]!, call.heads);
      row = choice.scale === "paper" ? ROWS.node : hue < 0 ? ROWS.one : hue;
      if (edges.sign[n]) {
        row = edges.sign[n]! < 0 ? ROWS.minus : ROWS.plus;
        looks[4 * n + 2] = edges.sign[n]! < 0 ? 255 : 0;
      }
      if (knocking.out && knocking.takes({ kind, call: edges.call[n]!, head: edges.head[n]!, query: edges.query[n]!, key: edges.key[n]! })) looks[4 * n + 2] = 255;
    }
    looks[4 * n] = Math.round(255 * Math.min(1, Math.max(0, value)));
    looks[4 * n + 1] = row;
    looks[4 * n + 3] = kind === ATTENTION && (choice.direction === "forward" || choice.direction === "backward") && choice.scale !== "paper" ? 255 : 0;
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

// Brightness of a patch that is not looked at: its place stays visible.
const LEAST_LIGHT = 0.08;

export interface NodeLooks {
  readonly dots: Float32Array;
  readonly pictures: Float32Array; // the nearest plane first
  readonly radii: Float32Array; // CSS pixels; of pictures too, for picking
}

// Share of the distance between patches that a picture fills, half of it to each side.
export const PICTURE_HALF = 0.44;

/** Radii grow with the attention that a node receives; pictures keep their size. `depth` is towards the eye. */
export function nodeLooks(
  model: Model, places: Places, marks: Pick<Marks, "lit" | "sight">, scale: number, screen: Float32Array,
): NodeLooks {
  const { lit } = marks;
  const { index, scene } = model;
  const dots = new Float32Array(index.count * FLOATS_PER_NODE);
  const pictures: { depth: number; floats: number[] }[] = [];
  const radii = new Float32Array(index.count);
  const most = model.choice.view === "3d" ? 3.1 : 3.8;
  const room = Math.max(1.2, Math.min(most, places.spacing * scale * 0.15));
  // Written number by number: a picture of many layers has a hundred thousand nodes, and each frame has them all.
  const put = (node: number, radius: number, fill: number, rim: number, alpha: number) => {
    const to = node * FLOATS_PER_NODE;
    for (let axis = 0; axis < 3; axis++) dots[to + axis] = places.positions[3 * node + axis]!;
    dots[to + 3] = radius;
    dots[to + 4] = fill;
    dots[to + 5] = rim;
    dots[to + 6] = -1;
    dots[to + 7] = alpha;
  };
  scene.sides.forEach((side, s) => {
    const marked = markedTokens(model, s);
    const firstPicture = side.patches ? pictureNumber(model, s, 0) : -1;
    const end = index.first[s]! + side.planes * side.tokens.length;
    for (let node = index.first[s]!, token = 0; node < end; node++, token = token + 1 === side.tokens.length ? 0 : token + 1) {
      const isMarked = marked.includes(token);
      const share = model.received.nodes[node]!;
      const grown = room * (0.75 + 0.55 * Math.sqrt(Math.min(Number.isFinite(share) ? share : 0.4, 9)));
      const radius = isMarked ? Math.max(grown + 1, 4) : grown;
      const [fill, rim] = isMarked ? [ROWS.mark, ROWS.mark] : [ROWS.node, ROWS.paper];
      const alpha = !lit || lit.has(node) ? 1 : 0.3;
      const isPicture = firstPicture >= 0 && !side.patches!.unpictured.has(token);
      // A picture keeps a small dot where its edges meet.
      put(node, isPicture ? 1.6 : radius, fill, rim, isPicture && !lit?.has(node) ? 0 : alpha);
      radii[node] = isPicture ? places.spacing * PICTURE_HALF * scale : radius;
      if (!isPicture) continue;
      const seen = marks.sight?.[node] ?? Number.NaN;
      // Square root: a patch seen a quarter as much as the most seen one is half as bright.
      const light = seen === seen && !isMarked ? LEAST_LIGHT + (1 - LEAST_LIGHT) * Math.sqrt(seen) : alpha;
      const place = places.positions.subarray(3 * node, 3 * node + 3);
      pictures.push({ depth: screen[3 * node + 2]!, floats: [...place, places.spacing * PICTURE_HALF, fill, rim, firstPicture + token, light] });
    }
  });
  for (let answer = 0; answer < index.answers; answer++) {
    const node = index.firstAnswer + answer;
    const share = scene.outputs!.probabilities[answer]!;
    radii[node] = 4 + 5 * Math.sqrt(Number.isFinite(share) ? share : 0);
    put(node, radii[node]!, answer === 0 ? ROWS.plus : ROWS.node, ROWS.paper, !lit || lit.has(node) ? 1 : 0.3);
  }
  pictures.sort((a, b) => b.depth - a.depth);
  return { dots, pictures: Float32Array.from(pictures.flatMap((picture) => picture.floats)), radii };
}

/** Tokens of a side that are selected or under the pointer. */
function markedTokens(model: Model, side: number): number[] {
  return [model.selection, model.hover].flatMap((one) => (one?.kind === "token" && one.side === side ? [one.token] : []));
}

function pictureNumber(model: Model, side: number, token: number): number {
  let first = 0;
  for (let s = 0; s < side; s++) if (model.scene.sides[s]!.patches) first += model.scene.sides[s]!.tokens.length;
  return first + token;
}

// Side of a picture in the atlas: larger patches are drawn smaller than this anyway.
const MOST_PATCH = 32;
// Side of the atlas: every device takes a texture of this size.
const MOST_ATLAS = 4096;

/** All patches of all sides as one texture; null where there are none. */
export function pictureAtlas(model: Model): Atlas | null {
  const sides = model.scene.sides.filter((side) => side.patches);
  if (!sides.length) return null;
  const largest = Math.min(MOST_PATCH, Math.max(...sides.map((side) => Math.max(side.patches!.width, side.patches!.height))));
  const count = sides.reduce((sum, side) => sum + side.tokens.length, 0);
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  const cell = Math.max(1, Math.min(largest, Math.floor(MOST_ATLAS / columns)));
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

