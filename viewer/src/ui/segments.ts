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
  const element = make("div", { class: isWide ? "segments wide" : "segments", attributes: { role: "group", "aria-label": label } }, ...buttons.values());
  return {
    element,
    choose: (chosen) => buttons.forEach((one, value) => one.setAttribute("aria-pressed", String(value === chosen))),
    enable: (value, isEnabled, title) => {
      const one = buttons.get(value);
      if (!one) return;
      one.disabled = !isEnabled;
      one.title = title;
    },
  };
}
