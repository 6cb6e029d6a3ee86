/** Title, view switch, search and the buttons for theme and side panels. */

import { plural } from "../maths/digits";
import { realTokens } from "../scene/layout";
import type { ViewName } from "../scene/choice";
import { CENTRE } from "./centre/index";
import { button, make } from "./element";
import type { Model } from "./model";
import { segments } from "./segments";

export interface HeaderActions {
  theme(): void;
  rail(): void;
  panel(): void;
  home(): void;
  find(text: string, isFinal: boolean): void;
  leave(): void; // give the focus back to the view
  help(): void;
}

export class Header {
  readonly element: HTMLElement;
  readonly search: HTMLInputElement;
  private readonly title = make("h1", { class: "title" });
  private readonly subtitle = make("span", { class: "subtitle" });
  private readonly views;
  private readonly railButton: HTMLButtonElement;
  private readonly panelButton: HTMLButtonElement;
  private readonly themeButton: HTMLButtonElement;

  constructor(private readonly model: Model, actions: HeaderActions) {
    this.views = segments<ViewName>([
      { value: "3d", label: "3D", title: "All layers as planes in space (1)" },
      { value: "front", label: "Front", title: "What flows from layer to layer (2)" },
      { value: "layer", label: "Layer", title: "One layer from above (3)" },
      ...Object.entries(CENTRE).map(([value, { label, title }], n) => ({ value: value as ViewName, label, title: `${title} (${n + 4})` })),
    ], (view) => model.choose({ view }), "view", false);
    this.search = make("input", {
      class: "search",
      attributes: { type: "search", placeholder: "find  /", "aria-label": "find a token", spellcheck: "false", autocomplete: "off" },
      on: {
        input: () => actions.find(this.search.value, false),
        keydown: (event) => {
          if (event.key === "Enter") actions.find(this.search.value, true);
          if (event.key === "Escape") {
            this.search.value = "";
            actions.find("", false);
            actions.leave();
          }
          event.stopPropagation();
        },
      },
    });
    this.railButton = button({ class: "icon narrow", text: "☰", title: "heads, threshold and drawing", label: "heads, threshold and drawing", on: { click: actions.rail } });
    this.panelButton = button({ class: "icon narrow", text: "i", title: "answer and details", label: "answer and details", on: { click: actions.panel } });
    this.themeButton = button({ class: "icon", text: "◐", title: "light or dark", label: "light or dark", on: { click: actions.theme } });
    this.title.textContent = model.page.title.slice(0, 200);
    this.title.title = model.page.title.slice(0, 1000);
    this.element = make("header", { class: "head" },
      this.railButton,
      make("div", { class: "names" }, this.title, this.subtitle),
      this.views.element,
      button({ class: "icon", text: "⌂", title: "show everything (Home)", label: "show everything", on: { click: actions.home } }),
      this.search, this.themeButton, button({ class: "icon wide", text: "?", title: "keys and gestures (?)", label: "keys and gestures", on: { click: actions.help } }), this.panelButton);
  }

  refresh(rail: boolean, panel: boolean): void {
    const { model } = this;
    this.views.choose(model.choice.view);
    this.railButton.setAttribute("aria-pressed", String(rail));
    this.panelButton.setAttribute("aria-pressed", String(panel));
    const { scene } = model;
    const heads = Math.max(0, ...scene.calls.map((call) => call.heads));
    const parts = [
      `${plural(scene.calls.length, "layer")} × ${plural(heads, "head")}`,
      scene.sides.map((side) => `${plural(realTokens(side).length, "token")}${side.name === "tokens" ? "" : ` (${side.name})`}`).join(" + "),
      model.page.note,
    ];
    this.subtitle.textContent = parts.filter(Boolean).join(" · ").slice(0, 300);
    this.subtitle.title = [scene.model, ...parts, model.page.createdBy].filter(Boolean).join("\n").slice(0, 1000);
  }
}
