/** Crosses over tokens that are taken away. */

import { nodeOf } from "../scene/nodes";
import type { Stage } from "./stage";

const ARM_PX = 8;

/** Draw on a canvas whose units are CSS pixels. */
export function drawCrosses(context: CanvasRenderingContext2D, { model, screen, theme }: Stage): void {
  const { out } = model.knocking;
  if (out?.kind !== "token") return;
  const side = out.side ?? 0;
  context.beginPath();
  for (let plane = 0; plane < model.scene.sides[side]!.planes; plane++) {
    const node = 3 * nodeOf(model.index, side, plane, out.key!);
    const [x, y] = [screen[node]!, screen[node + 1]!];
    for (const way of [-ARM_PX, ARM_PX]) {
      context.moveTo(x - ARM_PX, y - way);
      context.lineTo(x + ARM_PX, y + way);
    }
  }
  for (const [colour, width] of [[theme.paper, 5], [theme.mark, 2]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }
}
