/** Puts a viewer into an element of any page. */

import { FormatFault } from "../wire/fault";
import { readPage } from "../wire/page";
import type { Drawn } from "./drawn";
import { make } from "./element";
import type { State } from "./state";
import { adoptStyle } from "./style";
import { applyTheme, THEMES } from "./theme";
import { Viewer, type Hooks } from "./viewer";

export interface Handle {
  state(): State;
  apply(state: State): Promise<string[]>; // what could not be followed, in sentences
  screenOf(node: { side: number; plane: number; token: number }): { x: number; y: number } | null;
  screenOfEdge(k: number): { x: number; y: number; isFree: boolean } | null;
  drawn(only?: number | null): Drawn | null;
  destroy(): void;
}

/** Show a page block in `element`; what is wrong with the data is said there. */
export function mount(element: HTMLElement, bytes: Uint8Array, hooks: Hooks = {}): Handle {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  root.replaceChildren();
  adoptStyle(root);
  const ready = () => {
    element.dataset["ready"] = "true";
    hooks.onReady?.();
  };
  delete element.dataset["ready"];
  let viewer: Viewer;
  let first = 0;
  try {
    const page = readPage(bytes);
    // A run that is being trained opens where it is now; examples open on the first.
    if (page.frames.every((frame) => frame.group === "step" || frame.group === "generation")) first = page.frames.length - 1;
    viewer = new Viewer(page, { ...hooks, onReady: ready });
  } catch (fault) {
    const text = fault instanceof FormatFault ? fault.message : `The page could not be read: ${String(fault)}`;
    showFault(root, text);
    ready();
    return { state: () => ({ fault: text }), apply: () => Promise.resolve([text]), screenOf: () => null, screenOfEdge: () => null, drawn: () => null, destroy: () => root.replaceChildren() };
  }
  root.append(viewer.element);
  void viewer.show(first);
  return {
    state: () => viewer.state(),
    apply: (state) => viewer.published.apply(state),
    screenOf: (node) => viewer.screenOf(node),
    screenOfEdge: (k) => viewer.screenOfEdge(k),
    drawn: (only = null) => viewer.drawn(only),
    destroy: () => {
      viewer.destroy();
      root.replaceChildren();
      delete element.dataset["ready"];
    },
  };
}

/** A panel in the viewer's place. */
export function showFault(root: ShadowRoot, text: string): void {
  const panel = make("div", { class: "viewer" },
    make("div", { class: "fault", attributes: { role: "alert" } },
      make("div", {}, make("b", { text: "headscape cannot show this" }), make("p", { text }))));
  applyTheme(panel, THEMES[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"]);
  root.replaceChildren(panel);
}
