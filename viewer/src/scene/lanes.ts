/** Lanes: edges that join the same two nodes run beside each other, the strongest in the middle. */

import type { Edges } from "./edges";

// Edges that get a lane of their own; in a denser picture nobody tells them apart.
const MOST_LANED = 50_000;
// Distance of two lanes: a share of that of neighbouring tokens, up to so many units (a plane is 2 high).
const LANE_SHARE = 0.3;
const LARGEST_LANE = 0.025;

export function laneGap(spacing: number): number {
  return Math.min(LANE_SHARE * spacing, LARGEST_LANE);
}

/** Which lane each edge takes. Edges come strongest first, so that a threshold moves none of them. */
export class Lanes {
  private readonly taken = new Map<number, number>(); // by pair of nodes
  private readonly lanes = new Map<number, number>(); // by pair, direction and head

  constructor(edges: Edges, private readonly nodes: number, private readonly heads: number) {
    for (let n = 0; n < Math.min(edges.length, MOST_LANED); n++) {
      const [low, high] = this.pair(edges, n);
      const pair = low * this.nodes + high;
      const lane = this.taken.get(pair) ?? 0;
      this.taken.set(pair, lane + 1);
      this.lanes.set(this.name(edges, n), lane);
    }
  }

  private pair(edges: Edges, n: number): [number, number] {
    const [from, to] = [edges.from[n]!, edges.to[n]!];
    return from < to ? [from, to] : [to, from];
  }

  private name(edges: Edges, n: number): number {
    const [low, high] = this.pair(edges, n);
    const turned = edges.from[n]! > edges.to[n]! ? 1 : 0;
    return ((low * this.nodes + high) * 2 + turned) * (this.heads + 1) + edges.head[n]! + 1;
  }

  /** Place of the n-th of some edges beside its fellows: 0, 1, -1, 2, -2... */
  of(edges: Edges, n: number): number {
    const lane = this.number(edges, n);
    return lane % 2 ? (lane + 1) / 2 : -lane / 2;
  }

  /** How many of its fellows are stronger. */
  number(edges: Edges, n: number): number {
    return this.lanes.get(this.name(edges, n)) ?? 0;
  }
}
