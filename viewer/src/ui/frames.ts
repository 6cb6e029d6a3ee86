/** Which picture is shown: examples as buttons, steps of a run as a scrubber that plays, and what it is compared with. */

import { button, make } from "./element";
import type { Model } from "./model";
import { segments } from "./segments";
import { Spark } from "./spark";

// Time for each step while playing: enough to see what changed.
const STEP_MS = 900;

export class Frames {
  readonly element = make("nav", { class: "frames", attributes: { "aria-label": "pictures" } });
  private readonly chips = new Map<number, HTMLButtonElement>();
  private readonly steps: number[];
  private readonly range: HTMLInputElement;
  private readonly name = make("span", { class: "number" });
  private readonly playButton: HTMLButtonElement;
  private playing = 0;
  private readonly spark: Spark;
  private readonly pinButton: HTMLButtonElement;
  private readonly pair = segments<"this" | "other" | "change">([
    { value: "this", label: "this", title: "This pass" },
    { value: "other", label: "other", title: "The pass that it is compared with" },
    { value: "change", label: "change", title: "By how much each weight differs: this − other" },
  ], (what) => void this.choosePair(what), "compare", false);
  private readonly said = make("span", { class: "soft" });

  constructor(private readonly model: Model, private readonly show: (frame: number) => Promise<void>) {
    const { frames } = model.page;
    this.steps = frames.map((_, n) => n).filter((n) => frames[n]!.group === "step" || frames[n]!.group === "generation");
    const examples = frames.map((_, n) => n).filter((n) => frames[n]!.group === "example");
    this.range = make("input", {
      attributes: { type: "range", min: "0", max: String(Math.max(0, this.steps.length - 1)), step: "1", "aria-label": "step" },
      on: { input: () => { this.stop(); void show(this.steps[Number(this.range.value)]!); } },
    });
    this.playButton = button({ class: "icon", text: "▶", label: "play the steps", on: { click: () => (this.playing ? this.stop() : this.play()) } });
    this.spark = new Spark(this.steps.map((n) => frames[n]!.marks));
    this.pinButton = button({
      class: "chip", text: "compare", title: "Keep this step, and show how every other step differs from it",
      on: { click: () => void model.compare(model.against === null ? model.frame : null) },
    });
    if (frames.length < 2) return;
    for (const n of examples) {
      const { label } = frames[n]!;
      const verdict = /^(right|wrong)\b/.exec(label)?.[1];
      const chip = button({ class: "chip", title: label, on: { click: () => void show(n) } },
        verdict ? make("span", { class: "dot", style: { background: verdict === "right" ? "var(--plus)" : "var(--minus)" } }) : null,
        make("bdi", { text: label.length > 80 ? `${label.slice(0, 79)}…` : label }));
      this.chips.set(n, chip);
      this.element.append(chip);
    }
    if (this.steps.length > 1) this.element.append(this.playButton, this.range, this.name, this.spark.element, this.pinButton);
    if (frames.some((frame) => frame.against !== null)) this.element.append(this.pair.element);
    this.element.append(this.said);
  }

  /** Show one of two passes that belong together, or the change between them. */
  private async choosePair(what: "this" | "other" | "change"): Promise<void> {
    const { frames } = this.model.page;
    const base = this.base();
    await this.model.compare(what === "change" ? "other" : null);
    await this.show(what === "other" ? frames[base]!.against ?? base : base);
  }

  /** The frame that has a button: the one on show, or the one that it stands beside. */
  private base(): number {
    const { frame, page } = this.model;
    return page.frames[frame]?.group === "other" ? page.frames.findIndex((one) => one.against === frame) : frame;
  }

  private play(): void {
    this.playButton.textContent = "❚❚";
    this.playButton.setAttribute("aria-label", "stop");
    if (Number(this.range.value) >= this.steps.length - 1) this.range.value = "-1";
    const next = async (): Promise<void> => {
      const at = this.steps.indexOf(this.model.frame) + 1;
      if (!this.playing) return;
      if (at >= this.steps.length) {
        this.stop();
        return;
      }
      await this.show(this.steps[at]!);
      if (this.playing) this.playing = window.setTimeout(() => void next(), STEP_MS);
    };
    const isAtEnd = this.model.frame === this.steps.at(-1);
    this.playing = window.setTimeout(() => void (isAtEnd ? this.show(this.steps[0]!).then(() => {
      if (this.playing) this.playing = window.setTimeout(() => void next(), STEP_MS);
    }) : next()), 0);
  }

  stop(): void {
    clearTimeout(this.playing);
    this.playing = 0;
    this.playButton.textContent = "▶";
    this.playButton.setAttribute("aria-label", "play the steps");
  }

  refresh(): void {
    const { frame, page, against } = this.model;
    const base = this.base();
    this.pair.choose(base !== frame ? "other" : against === "other" ? "change" : "this");
    this.pinButton.setAttribute("aria-pressed", String(typeof against === "number"));
    this.said.textContent = this.model.incomparable ? `no change is shown: ${this.model.incomparable}`
      : typeof against === "number" ? `change since ${page.frames[against]!.label.slice(0, 60)}` : "";
    for (const [n, chip] of this.chips) {
      chip.setAttribute("aria-pressed", String(n === base));
      if (n === base) chip.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    const at = this.steps.indexOf(frame);
    if (at >= 0) {
      this.range.value = String(at);
      const label = page.frames[frame]!.label;
      this.name.textContent = `${label.slice(0, 60)} (${at + 1} of ${this.steps.length})`;
      this.range.setAttribute("aria-valuetext", this.name.textContent);
      this.spark.show(at);
    }
  }
}
