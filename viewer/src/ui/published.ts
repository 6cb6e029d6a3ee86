/** What the person sees, told to the host and kept in the page's address; and the way back from it. */

import { KNOCK_WAYS } from "../wire/findings";
import type { Model } from "./model";
import type { Stage } from "./stage";
import { chosenState, difference, fromHash, readChoice, readSelection, toHash, type State } from "./state";
import type { Hooks } from "./viewer";

// Quiet time after which the state is published.
const PUBLISH_MS = 250;

interface Doings {
  show(frame: number): Promise<void>;
  setTheme(name: "light" | "dark"): void;
}

export class Published {
  private usual: State | null = null; // of the fresh view
  private waiting = 0;

  constructor(
    private readonly model: Model, private readonly stage: Stage, private readonly hooks: Hooks, private readonly doings: Doings,
  ) {}

  /** Remember the fresh view, and open the one that the page names, or its address. */
  async open(): Promise<void> {
    if (this.usual !== null) return;
    this.usual = chosenState(this.model);
    await this.apply({ ...this.model.page.view, ...(this.hooks.ownsPage ? fromHash(location.hash) : this.hooks.state) });
  }

  /** Tell what the person sees, once nothing has moved for a moment. */
  publish(): void {
    clearTimeout(this.waiting);
    this.waiting = window.setTimeout(() => {
      if (this.usual === null) return;
      const state = this.changed();
      this.hooks.onState?.(state);
      if (!this.hooks.ownsPage || fromHash(location.hash) === null && Object.keys(state).length === 0) return;
      try {
        history.replaceState(null, "", toHash(state) || location.pathname);
      } catch {
        // a frame without an address of its own
      }
    }, PUBLISH_MS);
  }

  /** What differs from the fresh view, a moved camera included. */
  changed(): State {
    const state = difference(chosenState(this.model), this.usual ?? {});
    return this.stage.isMoved ? { ...state, camera: this.stage.placedCamera() } : state;
  }

  /** Show what a state says; returns what could not be followed, in sentences. */
  async apply(state: State): Promise<string[]> {
    const { model } = this;
    const refused: string[] = [];
    const { frame, against } = state;
    if (frame !== undefined) {
      if (typeof frame === "number" && model.page.frames[frame]) await this.doings.show(frame);
      else refused.push(`frame: there are ${model.page.frames.length}, numbered from 0`);
    }
    if (against !== undefined && !(await model.compare(against))) refused.push(`against: no frame that this one could be compared with`);
    const change = readChoice(state, model, refused);
    if (Object.keys(change).length) model.choose(change);
    if (typeof state["slider"] === "number") model.setSlider(state["slider"]);
    if (state["selection"] !== undefined) {
      const selection = readSelection(state["selection"], model);
      if (selection === undefined) refused.push("selection: nothing drawn is that");
      else model.select(selection);
    }
    const by = KNOCK_WAYS.find((one) => one === state["knockOut"]);
    if (by) model.knocking.by = by;
    if (state["knockOut"] !== undefined && (by !== undefined) !== (model.knocking.out !== null) && !model.knocking.toggle()) refused.push("knockOut: nothing is selected that can be knocked out here");
    if (state["theme"] === "light" || state["theme"] === "dark") this.doings.setTheme(state["theme"]);
    if (state["camera"] !== undefined && !this.stage.look(state["camera"])) refused.push("camera: yaw, pitch, centre, scale, panX, panY, width and height are needed");
    return refused;
  }

  destroy(): void {
    clearTimeout(this.waiting);
  }
}
