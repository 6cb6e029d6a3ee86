/** Data that comes in parts, from whoever has it: the served page asks its server. */

import type { CallData, SceneData } from "./scene";

export interface Source {
  /** The scene block of a frame whose calls keep nothing yet. */
  head(frame: number): Promise<Uint8Array>;
  /** A scene block that holds one call of the frame, and no other. */
  call(frame: number, call: number): Promise<Uint8Array>;
}

/** Put calls that arrived in the place of those that kept nothing. */
export function fillCalls(scene: SceneData, arrived: ReadonlyMap<number, SceneData>): SceneData {
  const calls = scene.calls.map((call, n): CallData => {
    const found = arrived.get(n)?.calls[0];
    return found ? { ...found, number: call.number } : call;
  });
  return { ...scene, calls, warnings: [...scene.warnings, ...[...arrived.values()].flatMap((part) => part.warnings)] };
}

/** Numbers from 0 to `count` - 1, nearest to `first` first. */
export function nearestFirst(count: number, first: number): number[] {
  return Array.from({ length: count }, (_, n) => n).sort((a, b) => Math.abs(a - first) - Math.abs(b - first) || a - b);
}
