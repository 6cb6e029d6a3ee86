/** The line of Python that gives a number which the page shows. */

import { ANSWER, FORWARD, RESIDUAL, type Edge } from "../scene/edges";
import { queryShift } from "../scene/rows";
import { button, make } from "./element";
import type { Model } from "./model";

/** Lines for one edge; none where the page does not know which pass holds it. */
export function pythonLines(model: Model, edge: Edge): string[] {
  const { page, frame, scene } = model;
  const entry = page.frames[frame]!;
  const example = entry.example ? `, example=${entry.example}` : "";
  if (edge.kind === ANSWER) {
    const lines = [`trace.outputs.contribution(${entry.example})[${edge.query}, ${edge.key}]`];
    return scene.before || entry.group === "generation" ? [] : lines;
  }
  const call = scene.calls[edge.call]!;
  const token = edge.query;
  let trace = entry.group === "step" ? `run.traces[${entry.number - 1}]` : "trace";
  let row = token - queryShift(call, scene.sides[call.querySide]!.tokens.length);
  if (entry.group === "generation") {
    const lengths = page.frames.map((one) => (one.group === "generation" ? one.tokens[call.querySide] ?? 0 : 0));
    const n = lengths.findIndex((length) => length > token);
    const own = model.queriesOf(n, edge.call);
    if (n < 0 || own === null) return [];
    trace = `run.traces[${n}]`;
    row = token - (lengths[n]! - own);
  }
  const at = `calls[${edge.call}]`;
  if (edge.kind === RESIDUAL || edge.kind === FORWARD) {
    const part = edge.kind === RESIDUAL ? "residual" : "feed_forward";
    return scene.before ? [] : [`${trace}.${at}.flow(${entry.example}).${part}[${row}]`];
  }
  const line = `${at}.weight(${edge.head < 0 ? "None" : edge.head}, ${row}, ${edge.key}${example})`;
  return scene.before ? [`${trace}.${line}`, `other.${line}`] : [`${trace}.${line}`];
}

/** The section of a panel that shows them. */
export function pythonSection(model: Model, edge: Edge): HTMLElement | null {
  const lines = pythonLines(model, edge);
  return lines.length ? make("section", {}, make("h2", { text: "In Python" }), codeLines(lines)) : null;
}

/** Lines of Python to copy. */
export function codeLines(lines: readonly string[]): HTMLElement {
  const code = make("pre", { class: "code", text: lines.join("\n"), attributes: { tabindex: "0" } });
  const copy = button({
    class: "copy", text: "copy", label: "copy the Python line",
    on: {
      click: () => void navigator.clipboard?.writeText(lines.join("\n")).then(
        () => (copy.textContent = "copied"), () => (copy.textContent = "select and copy by hand"),
      ),
    },
  });
  return make("div", {}, code, copy);
}
