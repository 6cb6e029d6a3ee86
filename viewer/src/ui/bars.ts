/** Bars, heat maps and lists of facts, as elements that a screen reader reads. */

import { make } from "./element";

/** A bar from 0; `share` 0 to 1. */
export function bar(share: number, colour: string): HTMLElement {
  const size = Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0;
  return make("div", { class: "bar", attributes: { "aria-hidden": "true" } },
    make("i", { style: { width: `${100 * size}%`, background: colour } }));
}

/** A bar to the right for what speaks for, to the left for what speaks against; `share` -1 to 1. */
export function signedBar(share: number): HTMLElement {
  const size = Number.isFinite(share) ? Math.max(-1, Math.min(1, share)) : 0;
  const style = size >= 0
    ? { left: "50%", width: `${50 * size}%`, background: "var(--plus)" }
    : { left: `${50 + 50 * size}%`, width: `${-50 * size}%`, background: "var(--minus)" };
  return make("div", { class: "bar", attributes: { "aria-hidden": "true" } },
    make("i", { style }), make("i", { class: "middle" }));
}

/** Rows of name, bar and number. */
export function bars(rows: readonly { name: Node | string; bar: HTMLElement; value: string; title?: string }[]): HTMLElement {
  const list = make("div", { class: "bars" });
  for (const row of rows) {
    list.append(
      make("span", { class: "label", title: row.title ?? "" }, row.name),
      row.bar,
      make("span", { class: "number", text: row.value }),
    );
  }
  return list;
}

export function facts(rows: readonly (readonly [string, string, string?])[]): HTMLElement {
  const list = make("dl", { class: "facts" });
  for (const [name, value, title] of rows) {
    list.append(make("dt", { text: name, title: title ?? "" }), make("dd", { text: value }));
  }
  return list;
}
