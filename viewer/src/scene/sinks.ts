/** Sinks: tokens that take attention whatever they mean. */

import type { SceneData } from "../wire/scene";
import { realRows, receivedSums } from "./rows";

// Mean attention that a key of a layer receives over its rows and heads, beyond which it is a sink: the epsilon of
// Gu et al., "When Attention Sink Emerges in Language Models", 2024, arXiv:2410.10781.
export const SINK_SHARE = 0.3;
// And how often the even share it must be: in a text of three tokens each receives a third.
const SINK_LIFT = 3;

/** Number of the first real token of a side; -1 where it is a piece of a picture, and so no place for a sink. */
function firstToken(scene: SceneData, side: number): number {
  const { padded, patches, grid, tokens } = scene.sides[side]!;
  const first = padded.indexOf(0);
  const pictured = grid ? tokens.length - grid[0] * grid[1] : patches ? 0 : tokens.length;
  return first >= pictured && !patches?.unpictured.has(first) ? -1 : first;
}

/** Which tokens of each side are sinks: the first, and those that receive as much in any layer. */
export function findSinks(scene: SceneData): number[][] {
  const found = scene.sides.map((_, side) => new Set([firstToken(scene, side)].filter((token) => token >= 0)));
  for (const call of scene.calls) {
    const sums = receivedSums(call);
    const { padded } = scene.sides[call.keySide]!;
    const even = 1 / Math.max(1, padded.reduce((real, isPadded) => real + 1 - isPadded, 0));
    let rows = 0;
    for (let head = 0; head < call.heads; head++) rows += realRows(call, head);
    for (let key = 0; key < call.keys && rows > 0; key++) {
      let sum = 0;
      for (let head = 0; head < call.heads; head++) sum += sums[head * call.keys + key]!;
      if (!padded[key] && sum / rows > Math.max(SINK_SHARE, SINK_LIFT * even)) found[call.keySide]!.add(key);
    }
  }
  return found.map((tokens) => [...tokens].sort((a, b) => a - b));
}
