/** Elements without markup: every text is set as text. */

type Child = Node | string | null | undefined | false;

export interface Settings {
  class?: string;
  text?: string;
  title?: string;
  attributes?: Record<string, string>;
  style?: Record<string, string>;
  on?: Partial<{ [Name in keyof HTMLElementEventMap]: (event: HTMLElementEventMap[Name]) => void }>;
}

/** Make an element. Styles are set one by one through CSSOM, which a strict policy allows. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag, settings: Settings = {}, ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (settings.class) element.className = settings.class;
  if (settings.text !== undefined) element.textContent = settings.text;
  if (settings.title) element.title = settings.title;
  for (const [name, value] of Object.entries(settings.attributes ?? {})) element.setAttribute(name, value);
  for (const [name, value] of Object.entries(settings.style ?? {})) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(settings.on ?? {})) {
    element.addEventListener(name, listener as EventListener);
  }
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** An element of a drawing. */
export function svgElement(name: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A real button. */
export function button(settings: Settings & { label?: string }, ...children: Child[]): HTMLButtonElement {
  const element = make("button", settings, ...children);
  element.type = "button";
  if (settings.label) element.setAttribute("aria-label", settings.label);
  return element;
}

/** Texts from models: direction by their own letters, never mixed into what stands around them. */
export function tokenText(text: string, className = "token"): HTMLElement {
  return make("bdi", { class: className, text, attributes: { dir: "auto" } });
}

/** Keep a text's direction of writing from what stands around it. */
export function isolate(text: string): string {
  return `\u2068${text}\u2069`;
}

// Letters of a token that a label shows; the panel shows more.
export const LABEL_LETTERS = 16;
export const PANEL_LETTERS = 300;

const segmenter = typeof Intl !== "undefined" && "Segmenter" in Intl ? new Intl.Segmenter() : null;

/** A token as a label: cut with an ellipsis, invisible characters made visible. */
export function labelOf(token: string, letters = LABEL_LETTERS): string {
  if (token === "") return "(empty)";
  const start = token.slice(0, letters * 12); // a letter of several code points still fits
  const shown = start.replace(/[\n\r\u2028\u2029]/g, "⏎").replace(/\t/g, "⇥").replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, "·");
  if (shown.trim() === "") return token.length === 1 ? "(space)" : `(${token.length} spaces)`;
  const parts = segmenter ? Array.from(segmenter.segment(shown), (part) => part.segment) : Array.from(shown);
  if (parts.length <= letters && start.length === token.length) return shown;
  return `${parts.slice(0, letters - 1).join("")}…`;
}

/** The 2D context of a canvas of so many CSS pixels, cleared; null where there is none. */
export function clearedContext(canvas: HTMLCanvasElement, width: number, height: number, dpr: number): CanvasRenderingContext2D | null {
  const context = canvas.getContext("2d");
  const [w, h] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  context?.setTransform(dpr, 0, 0, dpr, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
