/** A head's H0 bars and Betti curves, beside the graph. */

import { plural, quantity } from "../maths/digits";
import { componentsAt, cycleRankAt, STEPS, thresholdOf, topologyOf, type Topology } from "../scene/topology";
import { make, svgElement } from "./element";
import type { Model } from "./model";

const WIDTH = 260;
const BARS = 58; // pixels high
const CURVES = 64;
const TICKS = 12;
const RIM = 3;

/** Where a weight stands: 1 at the left, 0 at the right, by its root as colours are. */
const across = (weight: number) => RIM + (WIDTH - 2 * RIM) * (1 - Math.sqrt(Math.min(1, Math.max(0, weight))));

export function topologySection(model: Model, call: number, head: number): HTMLElement {
  const section = make("section", { class: "topology" }, make("h2", { text: "Topology of this head" }));
  const found = topologyOf(model.scene, model.scene.calls[call]!, head);
  if (typeof found === "string" || found.tokens < 2) {
    section.append(make("p", { class: "note", text: typeof found === "string" ? `None: ${found}.` : "None: one token has nothing to join." }));
    return section;
  }
  const said = make("p", { class: "note number" });
  const svg = picture(found);
  const pointer = svgElement("line", { class: "here", y1: "0", y2: String(BARS + CURVES + RIM) });
  svg.append(pointer);
  const slider = make("input", {
    attributes: { type: "range", min: "0", max: String(STEPS - 1), "aria-label": "threshold" }, on: { input: () => say(STEPS - Number(slider.value)) },
  });
  const say = (step: number) => {
    const limit = thresholdOf(step);
    said.textContent = `weights ≥ ${quantity(limit)}: b₀ ${componentsAt(found, step)}, cycle rank ${cycleRankAt(found, step)}`;
    slider.value = String(STEPS - step);
    slider.setAttribute("aria-valuetext", said.textContent);
    for (const name of ["x1", "x2"]) pointer.setAttribute(name, String(across(limit)));
  };
  say(Math.max(1, Math.floor(STEPS / Math.sqrt(found.tokens)))); // an even share
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const root = 1 - ((event.clientX - box.left) * WIDTH / box.width - RIM) / (WIDTH - 2 * RIM);
    say(Math.round(STEPS * Math.min(1, Math.max(1 / STEPS, root))));
  });
  const sum = `H0 sum ${quantity(found.deathSum)} of at most ${found.tokens - 1}`;
  const longest = `longest bar ${quantity(1 - found.joins.at(-1)!)}`;
  svg.setAttribute("aria-label", `${plural(found.tokens - 1, "H0 bar")}: ${sum}, ${longest}`);
  const isRounded = model.scene.calls[call]!.code !== "f32";
  section.append(
    make("p", { class: "number", text: `${sum} · ${longest}${isRounded ? " (of rounded weights)" : ""}` }), svg, slider, said,
    make("div", { class: "keys" }, key("bars", "H0 bars, 1 − weight"), key("b0", "b₀, components"), key("cycles", "cycle rank")),
    make("p", { class: "note", text: "Tokens are joined where the larger weight of the two directions reaches a threshold, which falls from 1 at the left to 0 (√). Cycle rank: edges − tokens + b₀; triangles are not filled. Each curve is drawn to its own height." }),
  );
  return section;
}

function key(name: string, text: string): HTMLElement {
  return make("span", {}, make("i", { class: name }), text);
}

function picture(found: Topology): SVGElement {
  const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${BARS + CURVES + TICKS + RIM}`, role: "img" });
  const high = (BARS - RIM) / found.joins.length;
  let path = "";
  found.joins.forEach((weight, n) => (path += `M${across(1)} ${(RIM + (n + 0.5) * high).toFixed(2)}H${across(weight).toFixed(1)}`));
  svg.append(svgElement("path", { class: "bars", d: path, "stroke-width": Math.min(3, Math.max(0.4, 0.7 * high)).toFixed(2) }));
  const most = Math.max(1, cycleRankAt(found, 1));
  const curve = (name: string, value: (step: number) => number, largest: number) => {
    let line = "";
    for (let step = STEPS; step >= 1; step--) {
      const y = BARS + CURVES - (CURVES - 2 * RIM) * (value(step) / largest);
      line += `${step < STEPS ? `H${across(thresholdOf(step)).toFixed(1)}V` : `M${RIM} `}${y.toFixed(1)}`;
    }
    svg.append(svgElement("path", { class: name, d: line }));
  };
  for (const weight of [1, 0.5, 0.1, 0.01]) {
    const text = svgElement("text", { x: String(across(weight)), y: String(BARS + CURVES + TICKS), "text-anchor": weight === 1 ? "start" : "middle" });
    text.textContent = String(weight);
    svg.append(text);
  }
  curve("cycles", (step) => cycleRankAt(found, step), most);
  curve("b0", (step) => componentsAt(found, step), found.tokens);
  return svg;
}
