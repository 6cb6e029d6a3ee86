/** Where on the page things are drawn, for those who click by program. */

import { cubicAt } from "../maths/curve";
import type { Stage } from "./stage";

/** Where a node is on the page, CSS pixels; null where it is not drawn. */
export function screenOfNode(stage: Stage, node: number): { x: number; y: number } | null {
  stage.settle();
  const [x, y] = [stage.screen[3 * node]!, stage.screen[3 * node + 1]!];
  const box = stage.canvas.getBoundingClientRect();
  return Number.isFinite(x) ? { x: box.left + x, y: box.top + y } : null;
}

/** A point of the page at which the k-th shown edge is picked, or else its middle. */
export function screenOfEdge(stage: Stage, k: number): { x: number; y: number; isFree: boolean } | null {
  stage.settle();
  const { main } = stage.flats();
  if (k < 0 || k * 8 >= main.length) return null;
  const box = stage.canvas.getBoundingClientRect();
  const c = main.subarray(8 * k, 8 * k + 8);
  const wanted = stage.model.order.edges.at(k);
  for (let n = 0; n < 40; n++) {
    const [x, y] = cubicAt(c, 0.5 + ((n % 2 ? 1 : -1) * Math.ceil(n / 2)) / 42);
    const found = stage.pick(x, y);
    const isSame = found?.kind === "edge" && found.edge.from === wanted.from && found.edge.to === wanted.to &&
      found.edge.head === wanted.head && found.edge.call === wanted.call && found.edge.kind === wanted.kind;
    if (isSame) return { x: box.left + x, y: box.top + y, isFree: true };
  }
  const [x, y] = cubicAt(c, 0.5);
  return { x: box.left + x, y: box.top + y, isFree: false };
}
