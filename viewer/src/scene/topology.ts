/** How one head's attention hangs together: components and cycles of its graph as a threshold falls. */

import type { CallData, SceneData } from "../wire/scene";
import { cellsOf } from "./cells";
import { weightAt } from "./rows";

// Steps of the root of the threshold from 1 to 0.
export const STEPS = 128;
// Tokens beyond which pairs are not compared one by one while somebody waits.
const MOST_TOKENS = 2048;

/** Tokens i and j are joined at the threshold W = max(A[i, j], A[j, i]); their distance is 1 − W. */
export interface Topology {
  readonly tokens: number;
  readonly joins: Float64Array; // W at which two components become one, largest first: the maximum spanning tree
  readonly pairs: Float64Array; // (step): pairs i < j with W of at least the threshold
  readonly deathSum: number; // Σ 1 − W of the joins: the sum of the H0 bars
}

/** Threshold of a step: its square root is even, as that of colours is. */
export function thresholdOf(step: number): number {
  return (step / STEPS) ** 2;
}

const known = new WeakMap<CallData, Map<number, Topology | string>>();

/** Topology of one head over its real tokens, or why there is none. Worked out once. */
export function topologyOf(scene: SceneData, call: CallData, head: number): Topology | string {
  let ofCall = known.get(call);
  if (!ofCall) known.set(call, (ofCall = new Map()));
  let found = ofCall.get(head);
  if (found === undefined) ofCall.set(head, (found = findTopology(scene, call, head)));
  return found;
}

function findTopology(scene: SceneData, call: CallData, head: number): Topology | string {
  if (scene.before) return "of one pass alone, not of a difference";
  if (call.querySide !== call.keySide) return "of attention among the same tokens; here queries and keys are different ones";
  if (!call.isWhole) return `only the top ${call.k} keys of a row were kept, which gives weights and cycles a lower bound only: capture with keep="all"`;
  if (call.nanRows > 0) return `${call.nanRows} rows of this layer hold NaN`;
  const { rows, columns, shift } = cellsOf(scene, call, head);
  if (rows.length !== columns.length || rows.some((query, n) => query + shift !== columns[n])) return "this pass holds the rows of some tokens only";
  if (rows.length > MOST_TOKENS) return `more than ${MOST_TOKENS} tokens`;
  return spanTokens(rows.length, (i, j) => Math.max(weightAt(call, head, rows[i]!, columns[j]!), weightAt(call, head, rows[j]!, columns[i]!)));
}

/** Prim's algorithm from the first token, and a count of all pairs; `weight` is symmetric, 0 to 1. */
export function spanTokens(tokens: number, weight: (i: number, j: number) => number): Topology {
  const joins = new Float64Array(Math.max(0, tokens - 1));
  const pairs = new Float64Array(STEPS + 1);
  const best = new Float64Array(tokens).fill(-1);
  const isIn = new Uint8Array(tokens);
  let deathSum = 0;
  for (let n = 0, at = 0; n < tokens; n++) {
    isIn[at] = 1;
    let next = -1;
    for (let j = 0; j < tokens; j++) {
      if (isIn[j]) continue;
      // Each pair is met once: when the first of its two is taken in.
      const w = weight(at, j);
      pairs[stepBelow(w)]!++;
      if (w > best[j]!) best[j] = w;
      if (next < 0 || best[j]! > best[next]!) next = j;
    }
    if (next < 0) break;
    joins[n] = best[next]!;
    deathSum += 1 - best[next]!;
    at = next;
  }
  for (let step = STEPS - 1; step >= 0; step--) pairs[step]! += pairs[step + 1]!;
  return { tokens, joins: joins.sort().reverse(), pairs, deathSum };
}

/** The largest step whose threshold a weight reaches. */
function stepBelow(weight: number): number {
  let step = Math.min(STEPS, Math.floor(Math.sqrt(Math.max(weight, 0)) * STEPS));
  if (step < STEPS && thresholdOf(step + 1) <= weight) step++;
  else if (step > 0 && thresholdOf(step) > weight) step--;
  return step;
}

/** Components (Betti number 0) at a step's threshold. */
export function componentsAt({ tokens, joins }: Topology, step: number): number {
  const limit = thresholdOf(step);
  let joined = 0;
  while (joined < joins.length && joins[joined]! >= limit) joined++;
  return tokens - joined;
}

/** Independent cycles of the graph itself, triangles not filled: edges − tokens + components. */
export function cycleRankAt(topology: Topology, step: number): number {
  return topology.pairs[step]! - topology.tokens + componentsAt(topology, step);
}
