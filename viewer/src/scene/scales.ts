/** Weight scales: how an edge's numbers become the strength that is drawn, 0 to 1. */

import { rankShares } from "../maths/order";
import type { ScaleName } from "./choice";
import { ANSWER, FORWARD, RESIDUAL, VALUE, type Edges } from "./edges";
import { groupEdges } from "./prune";

// Strength of every edge of a uniform head: seen, but never taken for structure.
export const FAINT = 0.15;
// A layer's ranks fill the range of strengths once its strongest edge has this lift, log2; below it, where rows are
// nearly uniform, differences are drawn smaller in proportion: a rank alone would make structure out of noise.
const FULL_RANK_LIFT = 1;
// Lower end of the lift scale, log2: an eighth of what uniform attention would give.
const LIFT_FLOOR = -3;
// Weights below 1e-5 of the largest are all the same on the log scale: five decades fill a ramp.
const LOG_DECADES = 5;

/** Name and formula of each scale, for people. */
export const SCALES: Record<ScaleName, { label: string; formula: string }> = {
  rank: {
    label: "rank",
    formula: "share of the layer's drawn edges that are no stronger; attention by weight, values by contribution",
  },
  paper: { label: "paper", formula: "opacity = (w − min) / (max − min) of the layer's drawn edges, one colour, straight lines: the term paper's" },
  lift: { label: "lift", formula: "(log₂(w × visible keys) + 3) / (top + 3); uniform attention is lift 1" },
  log: { label: "log", formula: "1 + log₁₀(w / largest of the layer) / 5, from 0 to 1: five decades" },
  contribution: { label: "contribution", formula: "‖w · v W_O‖ / largest of the layer: what an edge adds to the stream" },
};

const finite = (value: number) => (Number.isFinite(value) ? value : 0);

/** Strength of the first `count` edges, compared among themselves: among what is drawn. */
export function scaleEdges(name: ScaleName, edges: Edges, count = edges.length): Float32Array {
  const { group, groups } = groupEdges(edges, count);
  const measure = Float32Array.from({ length: count }, (_, n) => comparedValue(name, edges, n));
  const low = new Float32Array(groups).fill(Infinity);
  const high = new Float32Array(groups);
  const lift = new Float32Array(groups); // the largest, as a power of 2
  let topLift = 1;
  for (let n = 0; n < count; n++) {
    if (edges.flat[n]) continue;
    const g = group[n]!;
    low[g] = Math.min(low[g]!, measure[n]!);
    high[g] = Math.max(high[g]!, measure[n]!);
    lift[g] = Math.max(lift[g]!, isByValue(edges, n) ? 1 : Math.log2(finite(edges.lift[n]!)));
    topLift = Math.max(topLift, Math.log2(finite(edges.lift[n]!)));
  }
  // Edges of uniform heads are faint by every scale and do not take part in the comparison of the others.
  const rankGroup = group.map((g, n) => (edges.flat[n] ? groups : g));
  const ranks = name === "rank" ? rankShares(rankGroup, measure, groups + 1) : null;
  return Float32Array.from(measure, (value, n) => {
    if (edges.kind[n] === RESIDUAL || edges.kind[n] === FORWARD || edges.kind[n] === ANSWER) return 0.5;
    if (edges.flat[n]) return FAINT;
    const [least, most] = [low[group[n]!]!, high[group[n]!]!];
    switch (name) {
      case "rank":
        return FAINT + (ranks![n]! - FAINT) * clip(lift[group[n]!]! / FULL_RANK_LIFT);
      case "paper":
        return most > least ? (value - least) / (most - least) : 1;
      case "lift":
        return clip((Math.log2(Math.max(finite(edges.lift[n]!), 1e-9)) - LIFT_FLOOR) / (topLift - LIFT_FLOOR));
      case "log":
        return value > 0 && most > 0 ? clip(1 + Math.log10(value / most) / LOG_DECADES) : 0;
      case "contribution":
        return most > 0 ? clip(value / most) : 0;
    }
  });
}

/** Tell whether an edge is judged by what its value carries. */
function isByValue(edges: Edges, n: number): boolean {
  return edges.kind[n] === VALUE && Number.isFinite(edges.contribution[n]!);
}

/** What a scale compares. The paper knows no row without a choice: its weights are as they are. */
function comparedValue(name: ScaleName, edges: Edges, n: number): number {
  if (name === "contribution") return finite(edges.contribution[n]!);
  return name === "paper" && !isByValue(edges, n) ? edges.mass[n]! : edges.measure(n);
}

const clip = (value: number) => Math.min(1, Math.max(0, value));
