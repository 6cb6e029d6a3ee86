/** A line over the steps of a run: one of the numbers that each step carries. */

import { quantity } from "../maths/digits";
import { make, svgElement } from "./element";

const WIDTH = 240;
const HEIGHT = 26;
const RIM = 3;

export class Spark {
  readonly element = make("div", { class: "spark" });
  private readonly svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  private readonly line = svgElement("polyline", {});
  private readonly here = svgElement("line", { y1: "0", y2: String(HEIGHT) });
  private readonly names: HTMLSelectElement;
  private readonly value = make("span", { class: "number" });

  constructor(private readonly marks: readonly Readonly<Record<string, number>>[]) {
    const names = [...new Set(marks.flatMap((one) => Object.keys(one)))];
    this.names = make("select", { attributes: { "aria-label": "number drawn over the steps" }, on: { change: () => this.draw() } },
      ...names.map((name) => make("option", { text: name.slice(0, 40), attributes: { value: name } })));
    this.svg.append(this.line, this.here);
    if (names.length === 0 || marks.length < 2) return;
    this.element.append(this.names, this.svg, this.value);
    this.draw();
  }

  private at = 0;

  /** Mark where the run stands. */
  show(step: number): void {
    this.at = step;
    const x = String(this.x(step));
    this.here.setAttribute("x1", x);
    this.here.setAttribute("x2", x);
    const value = this.marks[step]?.[this.names.value];
    this.value.textContent = value === undefined ? "" : quantity(value);
  }

  private x(step: number): number {
    return RIM + ((WIDTH - 2 * RIM) * step) / Math.max(1, this.marks.length - 1);
  }

  private draw(): void {
    const values = this.marks.map((one) => one[this.names.value] ?? Number.NaN);
    const known = values.filter(Number.isFinite);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const points = values.flatMap((value, step) => {
      const share = high > low ? (value - low) / (high - low) : 0.5;
      return Number.isFinite(value) ? [`${this.x(step).toFixed(1)},${(HEIGHT - RIM - share * (HEIGHT - 2 * RIM)).toFixed(1)}`] : [];
    });
    this.line.setAttribute("points", points.join(" "));
    this.element.title = known.length ? `${this.names.value}: ${quantity(low)} to ${quantity(high)}` : "";
    this.show(this.at);
  }
}
