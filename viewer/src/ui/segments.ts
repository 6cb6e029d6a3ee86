/** A row of buttons of which one is pressed. */

import { button, make } from "./element";

export interface Segment<Value extends string> {
  readonly value: Value;
  readonly label: string;
  readonly title?: string;
}

export interface Segments<Value extends string> {
  readonly element: HTMLElement;
  choose(value: Value): void;
  enable(value: Value, isEnabled: boolean, title: string): void;
}

export function segments<Value extends string>(
  options: readonly Segment<Value>[], onChoose: (value: Value) => void, label: string, isWide = true,
): Segments<Value> {
  const buttons = new Map(options.map(({ value, label: text, title }) => [
    value,
    button({ text, title: title ?? "", attributes: { "aria-pressed": "false" }, on: { click: () => onChoose(value) } }),
  ]));
  // One stop for Tab; arrows go from there.
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const all = [...buttons.values()].filter((one) => !one.disabled);
    const at = all.indexOf(event.target as HTMLButtonElement);
    if (!step || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = all[(at + step + all.length) % all.length]!;
    next.click();
    next.focus();
    event.preventDefault();
    event.stopPropagation();
  };
  const element = make("div", { class: isWide ? "segments wide" : "segments", attributes: { role: "group", "aria-label": label }, on: { keydown: onKey } }, ...buttons.values());
  return {
    element,
    choose: (chosen) => buttons.forEach((one, value) => {
      one.setAttribute("aria-pressed", String(value === chosen));
      one.tabIndex = value === chosen || !buttons.has(chosen) ? 0 : -1;
    }),
    enable: (value, isEnabled, title) => {
      const one = buttons.get(value);
      if (!one) return;
      one.disabled = !isEnabled;
      one.title = title;
    },
  };
}
