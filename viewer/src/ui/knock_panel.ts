/** The part of a panel that takes something away and shows what the model says without it. */

import { orNaN, percent, quantity, signed } from "../maths/digits";
import { KNOCK_WAYS, type KnockOut, type KnockWay, type Target } from "../wire/findings";
import { bar, bars, facts } from "./bars";
import { button, labelOf, make, tokenText } from "./element";
import { sizeOf } from "./knocking";
import type { Model } from "./model";
import { codeLines } from "./python_line";
import { segments } from "./segments";

const MEANINGS: Record<KnockWay, string> = {
  zero: "Its weights become 0",
  renormalise: "Its weights become 0, and each row is scaled to sum to 1 again",
  mean: "In its place stands the mean of what it gives in these inputs",
};
// Knock-outs that are listed: where to look first.
const MOST_LISTED = 8;

/** The line of Python that takes something away. */
export function knockLine({ kind, call, head, query, key, side }: Target, by: KnockWay): string {
  const what = kind === "head" ? `heads=[(${call}, ${head})]` : kind === "token" ? `tokens=[${side ? `(${side}, ${key})` : key}]` : `edges=[(${call}, ${head ?? "None"}, ${query}, ${key})]`;
  return `headscape.knock_out(model, inputs, ${what}${by === "zero" ? "" : `, by="${by}"`})`;
}

/** What is taken away, in words. */
export function nameTarget(model: Model, { kind, call, head, query, key, side }: Target): string {
  if (kind === "token") return `token ${key}, ${labelOf(model.scene.sides[side ?? 0]?.tokens[key!] ?? "", 20)}`;
  const place = `${model.layerName(call!)}, ${head === null ? "all heads" : `head ${head}`}`;
  return kind === "head" ? place : `${query} → ${key}, ${place}`;
}

/** The section for what is selected; null where nothing can be taken away. */
export function knockSection(model: Model): HTMLElement | null {
  const { knocking } = model;
  const target = knocking.target();
  if (!target) return null;
  const ways = knocking.ways(target);
  const section = make("section", { class: "knock" }, make("h2", { text: "Knock out" }));
  if (!ways.length) {
    section.append(make("p", { class: "note", text: "What the model says without it needs a live notebook, or a run in Python:" }), codeLines([knockLine(target, knocking.by)]));
    return section;
  }
  const by = ways.includes(knocking.by) ? knocking.by : ways[0]!;
  const choice = segments<KnockWay>(KNOCK_WAYS.map((value) => ({ value, label: value, title: MEANINGS[value] })), (way) => knocking.choose(way), "how it is taken away");
  for (const way of KNOCK_WAYS) if (!ways.includes(way)) choice.enable(way, false, "Not worked out for this page");
  choice.choose(by);
  const isOut = knocking.out !== null;
  section.append(choice.element, button({
    class: "chip out", text: isOut ? "Put back (k)" : "Knock out (k)", attributes: { "aria-pressed": String(isOut) }, on: { click: () => knocking.toggle() },
  }));
  if (!isOut) return section;
  const found = knocking.found(target, by);
  section.append(make("p", { class: "note", text: `Without ${nameTarget(model, target)} (${by}). Dashed: what is taken away.` }));
  if (found) section.append(...outcome(found));
  else section.append(make("p", { text: knocking.isWaiting ? "The kernel is asked…" : "" }));
  section.append(codeLines([knockLine(target, by)]));
  return section;
}

/** What is said aloud once it is known; null: nothing is taken away. */
export function sayKnockOut(model: Model): string | null {
  const { out } = model.knocking;
  const found = out && model.knocking.found(out);
  if (!found) return null;
  const moves = found.answers.slice(0, 3).map(({ name, before, after }) => `${labelOf(name, 30)} ${orNaN(before, percent)} to ${orNaN(after, percent)}`);
  return found.error || `Without ${nameTarget(model, out)}: ${[...moves, found.change === found.change ? `output changes by ${quantity(found.change)}` : ""].filter(Boolean).join(", ")}`;
}

function outcome({ answers, change, note, error }: KnockOut): HTMLElement[] {
  if (error) return [make("p", { class: "wrong", text: error, attributes: { role: "alert" } })];
  const rows = answers.map(({ name, before, after, logits }) => {
    const drawn = bar(after, "var(--accent)");
    if (before === before) drawn.append(make("i", { class: "was", style: { left: `calc(${Math.min(100, Math.max(0, 100 * before))}% - 1px)` } }));
    return {
      name: tokenText(labelOf(name, 18)), bar: drawn, value: `${orNaN(before, percent)} → ${orNaN(after, percent)}`,
      title: `${name.slice(0, 300)}: score ${orNaN(logits[0], signed)} → ${orNaN(logits[1], signed)}`,
    };
  });
  const scores = answers.filter(({ logits: [a, b] }) => a === a && b === b).slice(0, 3);
  return [
    ...(rows.length ? [bars(rows), make("p", { class: "note", text: "Probability after; the line stands where it was before." })] : []),
    facts([
      ...scores.map(({ name, logits }) => [`score of ${labelOf(name, 14)}`, `${signed(logits[0])} → ${signed(logits[1])}`] as const),
      ...(change === change ? [["output changes by", quantity(change)] as const] : []),
    ]),
    ...(note ? [make("p", { class: "note", text: note })] : []),
  ];
}

/** The knock-outs of a page that change most; a click selects one. */
export function largestKnockOuts(model: Model): HTMLElement[] {
  const all = model.scene.knockOuts.filter((one) => !one.error);
  if (!all.length) return [];
  const order = [...all].sort((a, b) => sizeOf(b) - sizeOf(a)).slice(0, MOST_LISTED);
  const isChange = order.every(({ change }) => change === change);
  const list = make("ol", { class: "edges" }, ...order.map((one) => make("li", {}, button({
    title: `${nameTarget(model, one)}: knock it out, ${one.by}`, on: { click: () => model.knocking.show(one) },
  }, `${nameTarget(model, one)} `, make("span", { class: "soft number", text: `${quantity(sizeOf(one))} ${one.by}` })))));
  const measure = isChange ? "change of the output" : "largest move of a probability";
  return [make("h2", { text: "Largest knock-outs" }), list, make("p", { class: "note", text: `${order.length} of ${all.length}, by the ${measure}.` })];
}
