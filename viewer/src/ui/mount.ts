/** Puts a viewer into an element of any page. */

import { FormatFault } from "../wire/fault";
import { readPage, type Page } from "../wire/page";
import type { Drawn } from "./drawn";
import { make } from "./element";
import type { State } from "./state";
import { adoptStyle } from "./style";
import { applyTheme, THEMES } from "./theme";
import { Viewer, type Hooks } from "./viewer";

export interface Handle {
  readonly shown: Promise<void>; // settled when the first picture's data is there
  state(): State;
  apply(state: State): Promise<string[]>; // what could not be followed, in sentences
  load(page: Page): Promise<void>; // show newer data; what the person looks at stays
  screenOf(node: { side: number; plane: number; token: number }): { x: number; y: number } | null;
  screenOfEdge(k: number): { x: number; y: number; isFree: boolean } | null;
  drawn(only?: number | null): Drawn | null;
  destroy(): void;
}

/** Show a page in `element`; what is wrong with the data is said there. */
export function mount(element: HTMLElement, data: Uint8Array | Page, hooks: Hooks = {}): Handle {
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
    const page = data instanceof Uint8Array ? readPage(data) : data;
    // A run that is being trained opens where it is now; examples open on the first.
    if (page.frames.every((frame) => frame.group === "step" || frame.group === "generation")) first = page.frames.length - 1;
    viewer = new Viewer(page, { ...hooks, onReady: ready });
  } catch (fault) {
    const text = fault instanceof FormatFault ? fault.message : `The page could not be read: ${String(fault)}`;
    showFault(root, text);
    ready();
    return {
      shown: Promise.resolve(), state: () => ({ fault: text }), apply: () => Promise.resolve([text]), load: () => Promise.resolve(),
      screenOf: () => null, screenOfEdge: () => null, drawn: () => null, destroy: () => root.replaceChildren(),
    };
  }
  root.append(viewer.element);
  const shown = viewer.show(first);
  return {
    shown,
    state: () => viewer.state(),
    apply: (state) => shown.then(() => viewer.published.apply(state)),
    load: (page) => shown.then(() => viewer.load(page)),
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
