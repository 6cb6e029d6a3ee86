/** The keyboard does everything that the mouse does. */

import type { Model } from "./model";
import type { Stage } from "./stage";
import { viewNames } from "./state";

const TURN_PX = 24;
const ZOOM_STEP = 1.2;

// Kinds of input in which no letter is typed.
const KEYLESS = ["checkbox", "radio", "button", "range"];
// Keys that move a slider.
const SLIDER_KEYS = /^(Arrow|Page|Home$|End$)/;
// Keys that scroll, and what is scrolled by them while it, or something in it, has the focus.
const SCROLL_KEYS = /^(Arrow|Page|Home$|End$| $)/;
const SCROLLED = ".panel, .rail, .strip, .rows";

export interface KeyActions {
  search(): void;
  help(): void;
  frame(step: number): void;
  closeDrawer(which: "rail" | "any"): boolean;
}

/** Tell whether the focused input itself means something by the key. */
function belongsToInput(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLInputElement)) return false;
  return !KEYLESS.includes(target.type) || (target.type === "range" && SLIDER_KEYS.test(event.key));
}

/** Act on a key; returns whether it meant something here. */
export function pressKey(event: KeyboardEvent, model: Model, stage: Stage, actions: KeyActions): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (belongsToInput(event)) return false;
  if (SCROLL_KEYS.test(event.key) && event.composedPath().some((one) => one instanceof Element && one.matches(SCROLLED))) return false;
  const view = viewNames()[Number(event.key) - 1];
  if (view) {
    model.choose({ view });
    return true;
  }
  switch (event.key) {
    case "/":
      actions.search();
      return true;
    case "?":
      actions.help();
      return true;
    case "Escape":
      if (actions.closeDrawer("rail")) return true;
      if (model.selection) model.select(null);
      else if (model.choice.solo) model.choose({ solo: null });
      else return actions.closeDrawer("any");
      return true;
    case "[":
    case "]":
      actions.frame(event.key === "]" ? 1 : -1);
      return true;
    case "s":
      model.choose({ sinks: model.choice.sinks === "folded" ? "shown" : "folded" });
      return true;
    case "k":
      return model.knocking.toggle();
    case ",":
    case ".":
      stepToken(model, event.key === "." ? 1 : -1);
      return true;
  }
  return moveGraph(event, model, stage);
}

function moveGraph(event: KeyboardEvent, model: Model, stage: Stage): boolean {
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (arrow) {
    const [dx, dy] = [arrow[0]! * TURN_PX, arrow[1]! * TURN_PX];
    if (model.choice.view === "3d" && !event.shiftKey) stage.turn(dx, dy);
    else stage.shift(-dx, -dy);
    return true;
  }
  switch (event.key) {
    case "+":
    case "=":
      stage.zoom(ZOOM_STEP);
      return true;
    case "-":
    case "_":
      stage.zoom(1 / ZOOM_STEP);
      return true;
    case "Home":
    case "0":
      stage.fit(true);
      return true;
    case "PageUp":
    case "PageDown": {
      const layer = model.choice.layer + (event.key === "PageDown" ? 1 : -1);
      if (layer >= 0 && layer < model.scene.calls.length) model.choose({ layer, solo: null });
      return true;
    }
  }
  return false;
}

/** Select the next real token. */
function stepToken(model: Model, step: number): void {
  const all = model.scene.sides.flatMap((side, s) =>
    side.tokens.map((_, token) => ({ side: s, token })).filter(({ token }) => !side.padded[token]));
  if (!all.length) return;
  const now = model.selection;
  const at = now?.kind === "token" ? all.findIndex((one) => one.side === now.side && one.token === now.token) : step > 0 ? -1 : 0;
  const next = all[(at + step + all.length) % all.length]!;
  model.select({ kind: "token", ...next, plane: 0 });
}
