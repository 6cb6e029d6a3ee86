/** Crosses over tokens that are taken away. */

import { nodeOf } from "../scene/nodes";
import type { Stage } from "./stage";

/** Draw on a canvas whose units are CSS pixels. */
export function drawCrosses(context: CanvasRenderingContext2D, { model, screen, theme }: Stage): void {
  const { out } = model.knocking;
  if (out?.kind !== "token") return;
  const side = out.side ?? 0;
  context.strokeStyle = theme.mark;
  context.lineWidth = 2;
  context.beginPath();
  for (let plane = 0; plane < model.scene.sides[side]!.planes; plane++) {
    const node = 3 * nodeOf(model.index, side, plane, out.key!);
    const [x, y] = [screen[node]!, screen[node + 1]!];
    for (const way of [-7, 7]) {
      context.moveTo(x - 7, y - way);
      context.lineTo(x + 7, y + way);
    }
  }
  context.stroke();
}
