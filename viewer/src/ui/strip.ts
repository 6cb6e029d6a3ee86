/** The text itself: every token a button, shaded by the attention it receives. */

import { button, labelOf, make, tokenText } from "./element";
import { keepFocus } from "./focus";
import type { Model } from "./model";
import { rawOf } from "./tooltip";

// Tokens that become buttons; search and the graph reach all.
const MOST_WORDS = 800;
// Shade of a token that receives this many even shares.
const FULL_SHADE = 4;

export class Strip {
  readonly element = make("section", { class: "strip", attributes: { "aria-label": "tokens" } });
  private words: (HTMLButtonElement | null)[][] = []; // null: padding

  constructor(private readonly model: Model) {}

  build(): void {
    keepFocus(this.element, () => this.fill());
  }

  private fill(): void {
    const { model } = this;
    this.words = [];
    this.element.replaceChildren();
    model.scene.sides.forEach((side, s) => {
      const line = make("div", { class: "line" });
      if (model.scene.sides.length > 1) line.append(make("span", { class: "side", text: side.name }));
      const words = side.tokens.slice(0, MOST_WORDS).map((text, token) =>
        side.padded[token] ? null : button({
          class: "word",
          on: {
            click: () => this.toggle(s, token),
            pointerenter: () => model.preview({ kind: "token", side: s, token, plane: 0 }),
            pointerleave: () => model.preview(null),
          },
        }, tokenText(labelOf(text))));
      line.append(...words.filter((word) => word !== null));
      const padding = side.padded.reduce((sum, padded) => sum + padded, 0);
      if (padding) line.append(make("span", { class: "padding", text: `${padding} × padding`, title: "Padded tokens are not drawn" }));
      if (side.tokens.length > MOST_WORDS) line.append(make("span", { class: "soft", text: `… the first ${MOST_WORDS} of ${side.tokens.length}; find the rest with /` }));
      this.words.push(words);
      this.element.append(line);
    });
    this.shade();
  }

  private toggle(side: number, token: number): void {
    const { selection } = this.model;
    const isSame = selection?.kind === "token" && selection.side === side && selection.token === token;
    this.model.select(isSame ? null : { kind: "token", side, token, plane: 0 });
  }

  /** Follow the heads and layers drawn. */
  shade(): void {
    this.words.forEach((words, side) => words.forEach((word, token) => {
      const share = this.model.received.tokens[side]![token] ?? 0;
      if (!word) return;
      word.style.setProperty("--share", `${Math.round(72 * Math.min(1, share / FULL_SHADE))}%`);
      word.title = `token ${token}${rawOf(this.model, side, token)}: receives ${share.toFixed(2)} × an even share`;
    }));
  }

  /** Follow the selection. */
  mark(): void {
    const { selection, scene } = this.model;
    this.words.forEach((words, side) => words.forEach((word, token) => {
      let isOn = selection?.kind === "token" && selection.side === side && selection.token === token;
      if (selection?.kind === "edge" && selection.edge.call >= 0) {
        const call = scene.calls[selection.edge.call]!;
        isOn = (call.querySide === side && selection.edge.query === token) || (call.keySide === side && selection.edge.key === token);
      }
      word?.setAttribute("aria-pressed", String(isOn));
    }));
  }

  /** Outline tokens that hold the text; returns them. */
  find(text: string): { side: number; token: number }[] {
    const wanted = text.trim().toLocaleLowerCase();
    const found: { side: number; token: number }[] = [];
    this.model.scene.sides.forEach((side, s) => side.tokens.forEach((word, token) => {
      const hit = wanted !== "" && !side.padded[token] && word.slice(0, 10_000).toLocaleLowerCase().includes(wanted);
      if (hit) found.push({ side: s, token });
      const element = this.words[s]?.[token];
      if (element) element.dataset["found"] = hit ? "yes" : "no";
    }));
    const first = found[0];
    if (first) this.words[first.side]?.[first.token]?.scrollIntoView({ block: "nearest" });
    return found;
  }
}
