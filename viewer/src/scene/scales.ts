/** Weight scales: how an edge's numbers become the strength that is drawn, 0 to 1. */

import { rankShares } from "../maths/order";
import type { ScaleName } from "./choice";
import { ANSWER, FORWARD, RESIDUAL, VALUE, type Edges } from "./edges";
import { groupEdges } from "./prune";

// Strength of every edge of a uniform head: seen, but never taken for structure.
export const FAINT = 0.15;
// Lower end of the lift scale, log2: an eighth of what uniform attention would give.
const LIFT_FLOOR = -3;
// Weights below 1e-5 of the largest are all the same on the log scale: five decades fill a ramp.
const LOG_DECADES = 5;

/** Name and formula of each scale, for people. */
export const SCALES: Record<ScaleName, { label: string; formula: string }> = {
  rank: {
    label: "rank",
    formula: "share of the layer's drawn edges that are no stronger; attention by lift, values by contribution",
  },
  minmax: { label: "min-max", formula: "(w − min) / (max − min) of the layer's drawn edges: the term paper's" },
  lift: { label: "lift", formula: "(log₂(w × visible keys) + 3) / (top + 3); uniform attention is lift 1" },
  log: { label: "log", formula: "1 + log₁₀(w / largest of the layer) / 5, from 0 to 1: five decades" },
  contribution: { label: "contribution", formula: "‖w · v W_O‖ / largest of the layer: what an edge adds to the stream" },
};

const finite = (value: number) => (Number.isFinite(value) ? value : 0);

/** Strength of the first `count` edges, compared among themselves: among what is drawn. */
export function scaleEdges(name: ScaleName, edges: Edges, count = edges.length): Float32Array {
  const { group, groups } = groupEdges(edges, count);
  const measure = new Float32Array(count);
  const compared = new Float32Array(count);
  for (let n = 0; n < count; n++) {
    measure[n] = name === "contribution" ? finite(edges.contribution[n]!) : edges.measure(n);
    const byValue = edges.kind[n] === VALUE && Number.isFinite(edges.contribution[n]!);
    compared[n] = finite(byValue ? edges.contribution[n]! : edges.lift[n]!);
  }
  const low = new Float32Array(groups).fill(Infinity);
  const high = new Float32Array(groups);
  let topLift = 1;
  for (let n = 0; n < count; n++) {
    if (edges.flat[n]) continue;
    const g = group[n]!;
    low[g] = Math.min(low[g]!, measure[n]!);
    high[g] = Math.max(high[g]!, measure[n]!);
    topLift = Math.max(topLift, Math.log2(finite(edges.lift[n]!)));
  }
  // Edges of uniform heads are faint by every scale and do not take part in the comparison of the others.
  const rankGroup = group.map((g, n) => (edges.flat[n] ? groups : g));
  const ranks = name === "rank" ? rankShares(rankGroup, compared, groups + 1) : null;
  return Float32Array.from(measure, (value, n) => {
    if (edges.kind[n] === RESIDUAL || edges.kind[n] === FORWARD || edges.kind[n] === ANSWER) return 0.5;
    if (edges.flat[n]) return FAINT;
    const [least, most] = [low[group[n]!]!, high[group[n]!]!];
    switch (name) {
      case "rank":
        return ranks![n]!;
      case "minmax":
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

const clip = (value: number) => Math.min(1, Math.max(0, value));
