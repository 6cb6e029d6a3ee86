/** What is on the screen, in numbers: always there, so that nothing is dropped in silence. */

import { count, percent } from "../maths/digits";
import { MOST_HUES } from "../scene/choice";
import { ATTENTION, CROSS, VALUE } from "../scene/edges";
import { SCALES } from "../scene/scales";
import { make } from "./element";
import { MOST_DRAWN, type Held } from "../scene/prune";
import type { Model } from "./model";

export class Status {
  readonly element = make("div", { class: "status", attributes: { role: "status" } });
  private readonly counts = make("div", { class: "counts" });
  private readonly legend = make("div", { class: "legend" });

  constructor(private readonly model: Model) {
    this.element.append(this.counts, this.legend);
  }

  refresh(): void {
    const { model } = this;
    const { order, graph, choice } = model;
    const held = model.held();
    const isMatrix = choice.view === "matrix"; // shows weights, not edges
    const parts = isMatrix ? [`every ${model.scene.before ? "change" : "weight"} that is known is drawn`] : this.counted(held);
    const notes = [...graph.dropped];
    if (held.count > MOST_DRAWN && !isMatrix) notes.unshift(`the first ${count(order.edges.length)} are drawn`);
    if (graph.flatHeads.length && !isMatrix) {
      notes.unshift(`${listed(graph.flatHeads)} uniform: drawn flat${order.always ? "" : ", and only when all else is shown"}`);
    }
    const coming = model.loader?.said();
    if (coming) notes.unshift(coming);
    if (notes.length) parts.push(make("span", { class: "soft", text: ` · ${notes[0]}${notes.length > 1 ? ` (+${notes.length - 1})` : ""}`, title: notes.join("\n") }));
    this.counts.replaceChildren(...parts);
    this.counts.title = `${SCALES[choice.scale].label}: ${SCALES[choice.scale].formula}`;
    this.drawLegend();
  }

  /** How many edges of how many are shown, and what they hold. */
  words(): string {
    return this.counted(this.model.held()).map((part) => (typeof part === "string" ? part : part.textContent)).join("");
  }

  /** Each kind of edge that is drawn: how many of how many, and what they hold. */
  private counted(held: Held): (Node | string)[] {
    const { graph } = this.model;
    const about = held.isExact ? "" : "about ";
    const has = (kind: number) => graph.totals[kind]! > 0;
    const parts: (Node | string)[] = [];
    const add = (number: string, ...rest: (Node | string)[]) => {
      parts.push(...(parts.length ? [" · "] : []), make("b", { text: number }), ...rest);
    };
    const edges = (kind: number, name: string) => {
      const total = graph.totals[kind]!;
      if (total) add(about + count(held.kinds[kind]!), " of ", make("b", { text: count(total) }), ` ${name} ${total === 1 ? "edge" : "edges"}`);
    };
    const carried = graph.carried > 0 ? held.carried / graph.carried : Number.NaN;
    const isChange = this.model.scene.before !== null;
    edges(ATTENTION, isChange ? "changed" : "attention");
    edges(CROSS, "cross");
    // Ribbons stand for what values carry; for attention only where no values were captured.
    const hasAttention = has(ATTENTION) || (has(CROSS) && !has(VALUE)) || (graph.mass > 0 && !Number.isFinite(carried));
    const attention = () => {
      if (hasAttention && graph.mass > 0) add(percent(held.mass / graph.mass), ` of the ${isChange ? "change" : graph.holds}`);
    };
    if (has(ATTENTION) || !has(VALUE)) attention();
    edges(VALUE, "value");
    if (!has(ATTENTION) && has(VALUE)) attention();
    if (Number.isFinite(carried)) add(percent(carried), " of what values carry");
    return parts.length ? parts : [make("b", { text: "0" }), " edges"];
  }

  private drawLegend(): void {
    const { choice, scene } = this.model;
    this.legend.hidden = choice.view === "matrix";
    const items = [item("wedge", "var(--soft)", `weak to strong by ${SCALES[choice.scale].label}`)];
    if (scene.before) items.push(item("", "var(--plus)", "rose"), item("dashed", "var(--minus)", "fell"));
    if (choice.residual && choice.view !== "layer") items.push(item("", "var(--residual)", "residual"));
    if (choice.classes && scene.outputs?.contribution && choice.view !== "layer") {
      if (!scene.before) items.push(item("", "var(--plus)", "for an answer"), item("dashed", "var(--minus)", "against"));
    }
    const heads = Math.max(0, ...scene.calls.map((call) => call.heads));
    if (choice.heads === "mean" || (heads > MOST_HUES && choice.chosenHeads.size === 0 && !choice.solo)) {
      items.push(item("", "var(--one)", choice.heads === "mean" ? "mean of heads" : "all heads"));
    }
    this.legend.replaceChildren(...items);
  }
}

function listed(heads: readonly string[]): string {
  return heads.length > 3 ? `${heads.length} heads are` : `${heads.join(", ")} ${heads.length > 1 ? "are" : "is"}`;
}

function item(kind: string, colour: string, text: string): HTMLElement {
  return make("span", {}, make("i", { class: kind, style: { background: colour } }), text);
}
