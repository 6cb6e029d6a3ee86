/** What a picture's edges are drawn with, as plain data: for reading a picture back and comparing it with the truth. */

import type { EdgeStyle } from "../gl/edges/index";
import { widthOf } from "../gl/edges/width";
import type { Edges } from "../scene/edges";

export interface Drawn {
  readonly width: number; // of the canvas, CSS pixels
  readonly height: number;
  readonly paper: string; // colour behind everything
  readonly curves: number[]; // x, y of four control points an edge, CSS pixels of the canvas
  readonly strength: number[]; // 0 to 1
  readonly drawn: number[]; // width in the middle of the line, CSS pixels
  readonly measure: number[]; // what an edge is judged by: attention, or contribution where that is known
  readonly edges: { kind: number; call: number; head: number; query: number; key: number; weight: number; lift: number }[];
}

/** Describe the first `count` edges; `flat` are their projected curves, `looks` four bytes an edge. */
export function describeDrawn(
  size: readonly [number, number], paper: string, edges: Edges, flat: Float32Array, looks: Uint8Array, style: EdgeStyle,
): Drawn {
  const count = flat.length / 8;
  const strength = Array.from({ length: count }, (_, n) => looks[4 * n]! / 255);
  return {
    width: size[0], height: size[1], paper, strength,
    curves: [...flat],
    drawn: strength.map((value) => widthOf(value, style.width)),
    measure: strength.map((_, n) => edges.measure(n)),
    edges: strength.map((_, n) => {
      const { kind, call, head, query, key, weight, lift } = edges.at(n);
      return { kind, call, head, query, key, weight, lift };
    }),
  };
}
