/** Saving and copying what is shown: pictures, its state, and its caption. */

import { button, make } from "../element";
import type { Model } from "../model";
import type { Stage } from "../stage";
import type { Theme } from "../theme";
import { captionOf, latexCaption, MARKDOWN } from "./caption";
import { elementSvg } from "./element_svg";
import { copyText, fileName, isFramed, saveFile } from "./save";
import { pixelsOf, takeShot } from "./shot";
import { MOST_SVG_EDGES, shotSvg, svgText } from "./svg";

export interface ExportSource {
  readonly model: Model;
  readonly stage: Stage;
  theme(): Theme;
  counted(): string; // how many edges of how many are shown, and what they hold
  centre(): HTMLElement | null; // the view that stands in the graph's place
  state(): Record<string, unknown>;
  link(): string; // address of this view
}

// Pixels of one picture that browsers still draw.
const MOST_PIXELS = 2 ** 26;
const MOST_SIDE = 8192;

export class ExportMenu {
  readonly element: HTMLElement;
  private readonly panel = make("div", { class: "export", attributes: { popover: "auto", role: "dialog", "aria-label": "save or copy" } });
  private readonly said = make("p", { class: "note", attributes: { role: "status" } });
  private readonly scale = make("input", { attributes: { type: "number", min: "1", max: "16", step: "any", value: "2", "aria-label": "times as large" } });

  constructor(private readonly source: ExportSource) {
    const open = button({ class: "icon", text: "⤓", title: "save or copy", label: "save or copy" });
    open.popoverTargetElement = this.panel;
    const copy = (text: string, make_: () => string) => button({ text, on: { click: () => void this.copy(text, make_()) } });
    const { model } = source;
    this.panel.append(
      make("h2", { text: "Save the picture" }),
      make("div", { class: "row" }, button({ text: "SVG", on: { click: () => this.svg() } }),
        button({ text: "PNG", on: { click: () => void this.png(this.scale.valueAsNumber) } }), this.scale, "× as large"),
      make("h2", { text: "Copy" }),
      make("div", { class: "row" }, copy("state", () => JSON.stringify(source.state())), copy("link", () => source.link()),
        copy("Markdown caption", () => captionOf(model, source.counted(), MARKDOWN)), copy("LaTeX caption", () => latexCaption(model, source.counted()))),
      this.said,
    );
    this.panel.addEventListener("keydown", (event) => event.stopPropagation()); // keys of the graph do not work here
    this.panel.addEventListener("toggle", () => this.place(open));
    this.element = make("div", {}, open, this.panel);
  }

  /** Open below the button, in its row's free end. */
  private place(open: HTMLElement): void {
    const box = open.getBoundingClientRect();
    const left = Math.max(8, Math.min(box.right - this.panel.offsetWidth, window.innerWidth - this.panel.offsetWidth - 8));
    this.panel.style.setProperty("left", `${left}px`);
    this.panel.style.setProperty("top", `${box.bottom + 6}px`);
    this.say("");
  }

  private say(text: string): void {
    this.said.textContent = text;
  }

  private async copy(what: string, text: string): Promise<void> {
    this.say((await copyText(text, this.panel)) ? `Copied: ${what}.` : `The browser forbids this frame to copy. Here is the text: ${text}`);
  }

  private save(blob: Blob, end: string, note: string): void {
    const { model } = this.source;
    const name = `${fileName(model.page.title)}-${model.choice.view}.${end}`;
    const url = saveFile(blob, name);
    // Whether a file was written is told to no page.
    const where = isFramed() ? " If no file came, the frame that shows this page forbids downloads: drag the picture below, or open the page in a tab of its own." : "";
    this.say(`${name}, ${Math.ceil(blob.size / 1024)} kB${note}.${where}`);
    if (where) this.said.append(make("img", { class: "saved", attributes: { src: url, alt: name } }));
  }

  private document(): SVGElement | null {
    const { model, stage } = this.source;
    const centre = this.source.centre();
    const caption = captionOf(model, this.source.counted(), { own: (text) => text, foreign: (text) => text });
    if (centre) return elementSvg(centre, this.source.theme().paper, model.page.title, caption);
    const shot = takeShot(stage);
    return shot && shotSvg(shot, model.page.title, caption);
  }

  private svg(): void {
    const root = this.document();
    if (!root) return this.say("There is no picture yet.");
    const { model } = this.source;
    const left = this.source.centre() ? 0 : model.shown() - MOST_SVG_EDGES;
    this.save(new Blob([svgText(root)], { type: "image/svg+xml" }), "svg", left > 0 ? `; the strongest ${MOST_SVG_EDGES} edges, ${left} are left out` : "");
  }

  private async png(wanted: number): Promise<void> {
    const shown = this.source.centre() ?? this.source.stage.element;
    const [width, height] = [shown.clientWidth, shown.clientHeight];
    const most = Math.min(MOST_SIDE / Math.max(width, height), Math.sqrt(MOST_PIXELS / (width * height)));
    const scale = Math.min(Math.max(Number.isFinite(wanted) ? wanted : 1, 0.1), most);
    const canvas = this.source.centre() ? await this.rasterize(width, height, scale) : pixelsOf(this.source.stage, scale);
    const blob = canvas && (await new Promise<Blob | null>((use) => canvas.toBlob(use, "image/png")));
    if (!blob) return this.say("The picture could not be drawn at this scale. Try a smaller one.");
    this.save(blob, "png", `, ${canvas.width} × ${canvas.height}${scale < wanted ? `; more than ${scale.toFixed(1)}× is beyond this browser` : ""}`);
  }

  private async rasterize(width: number, height: number, scale: number): Promise<HTMLCanvasElement | null> {
    const root = this.document();
    if (!root) return null;
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(root))}`;
    await image.decode();
    const canvas = make("canvas");
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
  }
}
