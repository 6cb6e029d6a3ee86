/** All keys in one place: what the help shows, and what a screen reader is told of the graph. */

import { button, make } from "./element";

export type KeyHelp = readonly [keys: string, meaning: string];

const KEYS: readonly KeyHelp[] = [
  ["Tab", "to the next part"],
  ["1 to 9", "choose the view"],
  ["Arrows", "turn the stack, shift a flat view, scroll a panel, choose in a row of buttons"],
  ["Shift Arrows", "shift the stack"],
  ["+ −", "zoom"],
  ["Home", "show everything"],
  [", .", "previous and next token"],
  ["Page Up, Page Down", "previous and next layer"],
  ["k", "knock out what is selected, or put it back"],
  ["[ ]", "previous and next picture"],
  ["/", "find a token, Enter the next"],
  ["Enter", "press what has the focus; in the table select"],
  ["Esc", "close, unselect, go back"],
  ["?", "this list"],
];
const HANDS: readonly KeyHelp[] = [
  ["Drag", "turns the stack, shifts a flat view"],
  ["Two fingers, Shift drag", "shift"],
  ["Wheel, pinch", "zooms"],
  ["Click, tap", "selects"],
  ["Double click", "shows everything"],
];

/** What the graph's keys are, in a sentence. */
export const KEYS_SAID = KEYS.map(([keys, meaning]) => `${keys}: ${meaning}`).join(". ");

export class Help {
  readonly element: HTMLDialogElement;

  constructor() {
    const list = (rows: readonly KeyHelp[]) => make("dl", { class: "help" }, ...rows.flatMap(([keys, meaning]) => [
      make("dt", {}, make("kbd", { text: keys })), make("dd", { text: meaning })]));
    const close = button({ class: "icon", text: "×", label: "close", on: { click: () => this.element.close() } });
    this.element = make("dialog", {
      attributes: { "aria-label": "keys and gestures" },
      on: {
        // Keys of the graph do not work here; Escape and Tab are the browser's.
        keydown: (event) => event.stopPropagation(),
        click: (event) => {
          if (event.target === this.element) this.element.close(); // beside it
        },
      },
    }, make("div", {}, close, make("h2", { text: "Keys" }), list(KEYS), make("h2", { text: "Mouse and touch" }), list(HANDS)));
  }

  show(): void {
    if (!this.element.open) this.element.showModal();
  }
}
