/** Brings the calls of a frame one by one, nearest to what is looked at first, and shows them as they come. */

import { fillCalls, nearestFirst, type Source } from "../wire/source";
import { readScene, type SceneData } from "../wire/scene";
import type { Loader, Model } from "./model";

// Quiet time between two pictures while calls arrive: each sorts all edges anew.
const REFRESH_MS = 400;
// Calls that are asked for at a time: one is read while another travels.
const AT_ONCE = 2;

export class LayerLoader implements Loader {
  private done = 0;
  private total = 0;
  private fault: string | null = null;
  private run = 0; // number of the frame's turn; an older one stops

  constructor(private readonly model: Model, private readonly source: Source) {}

  /** Show a frame's head, and fill it. */
  async head(frame: number): Promise<SceneData> {
    this.run++;
    return readScene(await this.source.head(frame));
  }

  /** What is on its way, in words; null when all is here. */
  said(): string | null {
    if (this.fault !== null) return this.fault;
    return this.done < this.total ? `${this.done} of ${this.total} layers loaded` : null;
  }

  /** Bring the calls of the frame on show. */
  async fill(frame: number): Promise<void> {
    const run = ++this.run;
    const { model } = this;
    const left = nearestFirst(model.scene.calls.length, model.choice.layer);
    const arrived = new Map<number, SceneData>();
    [this.done, this.total, this.fault] = [0, left.length, null];
    let timer = 0;
    let last = -REFRESH_MS;
    const show = () => {
      clearTimeout(timer);
      timer = 0;
      if (run !== this.run) return;
      model.replaceScene(fillCalls(model.scene, arrived));
      arrived.clear();
      last = performance.now();
    };
    const worker = async () => {
      for (let n = left.shift(); n !== undefined && run === this.run; n = left.shift()) {
        const part = readScene(await this.source.call(frame, n));
        if (run !== this.run) return;
        arrived.set(n, part);
        this.done++;
        if (this.done === this.total) show();
        else timer ||= window.setTimeout(show, Math.max(0, last + REFRESH_MS - performance.now()));
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    } catch (fault) {
      if (run !== this.run) return;
      this.fault = `${this.done} of ${this.total} layers loaded, then: ${fault instanceof Error ? fault.message : String(fault)}`;
      show();
    }
  }

  stop(): void {
    this.run++;
  }
}
