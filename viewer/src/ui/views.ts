/** How each view looks at the graph: direction, lens, and the room that its labels need. */

import type { Camera, Margins } from "../maths/camera";
import { labelOf } from "./element";
import type { Model } from "./model";

// Width of a letter of a label, on average; margins need no more than an estimate.
const LETTER_PX = 6.6;

/** Direction and lens of a fresh view. The eye stands at the answer's side and a little above. */
export function startView(model: Model): Pick<Camera, "yaw" | "pitch" | "lens"> {
  if (model.choice.view === "3d") return { yaw: 0.52, pitch: 0.33, lens: 7 };
  return { yaw: 0, pitch: 0, lens: Infinity };
}

/** Free margins, CSS pixels. */
export function marginsOf(model: Model, size: readonly [number, number]): Margins {
  if (model.frame < 0) return { left: 20, right: 20, top: 20, bottom: 20 };
  const longest = (side: number) => {
    const real = model.scene.sides[side]?.tokens ?? [];
    let most = 0;
    for (let n = 0; n < Math.min(real.length, 400); n++) most = Math.max(most, [...labelOf(real[n]!)].length);
    return Math.min(most * LETTER_PX + 18, size[0] * 0.22);
  };
  const { view } = model.choice;
  const tokens = longest(0);
  const names = (model.scene.outputs?.names ?? []).slice(0, model.index.answers);
  const answers = names.length
    ? Math.min(Math.max(...names.map((name) => [...labelOf(name, 18)].length + 5)) * LETTER_PX + 22, size[0] * 0.24)
    : tokens;
  if (view === "layer") return { left: tokens, right: tokens, top: 26, bottom: 26 };
  if (view === "front") return { left: tokens, right: answers, top: 32, bottom: 16 };
  return { left: tokens * 0.9, right: answers, top: 28, bottom: 30 };
}
