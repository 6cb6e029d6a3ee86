/** What a patch sees: how brightly each other patch of its picture is shown. */

import type { SceneData } from "../wire/scene";
import { drawnHeads, type Choice } from "./choice";
import { nodeOf, type NodeIndex } from "./nodes";
import { meanRow } from "./story";
import { queryShift } from "./rows";

/** Share of the largest weight that a token gives each node of a pictured side, mean over the drawn heads; NaN elsewhere. */
export function sightOf(scene: SceneData, index: NodeIndex, choice: Choice, side: number, token: number): Float32Array | null {
  if (!scene.sides[side]?.patches) return null;
  const sight = new Float32Array(index.count).fill(Number.NaN);
  for (const call of scene.calls) {
    if (call.querySide !== side || call.keySide !== side) continue;
    const row = token - queryShift(call, scene.sides[side]!.tokens.length);
    const heads = drawnHeads(choice, call.number, call.heads);
    if (row < 0 || heads.length === 0) continue;
    const weights = meanRow(call, heads, row);
    const largest = weights.reduce((most, weight) => Math.max(most, weight), 0);
    if (!(largest > 0)) continue;
    weights.forEach((weight, key) => (sight[nodeOf(index, side, call.plane, key)] = weight / largest));
  }
  return sight;
}
