/** What is on the screen, in numbers: always there, so that nothing is dropped in silence. */

import { count, percent } from "../maths/digits";
import { MOST_HUES } from "../scene/choice";
import { SCALES } from "../scene/scales";
import { make } from "./element";
import { MOST_DRAWN } from "../scene/prune";
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
    const shown = model.shown();
    const share = graph.mass > 0 ? order.massBefore[shown]! / graph.mass : 0;
    const carried = graph.carried > 0 ? order.carriedBefore[shown]! / graph.carried : Number.NaN;
    const parts: (Node | string)[] = [
      make("b", { text: count(shown) }), " of ", make("b", { text: count(graph.total) }), " edges · ",
      make("b", { text: percent(share) }), " of the attention",
    ];
    if (Number.isFinite(carried)) parts.push(" · ", make("b", { text: percent(carried) }), " of what values carry");
    parts.push(` · strength: ${SCALES[choice.scale].label}`);
    const notes = [...graph.dropped];
    if (shown > MOST_DRAWN) notes.unshift(`${count(MOST_DRAWN)} are drawn`);
    if (graph.flatHeads.length) {
      notes.unshift(`${listed(graph.flatHeads)} uniform: drawn flat${order.always ? "" : ", and only when all else is shown"}`);
    }
    if (notes.length) parts.push(make("span", { class: "soft", text: ` · ${notes[0]}${notes.length > 1 ? ` (+${notes.length - 1})` : ""}`, title: notes.join("\n") }));
    this.counts.replaceChildren(...parts);
    this.counts.title = `${SCALES[choice.scale].label}: ${SCALES[choice.scale].formula}`;
    this.drawLegend();
  }

  private drawLegend(): void {
    const { choice, scene } = this.model;
    const items = [item("wedge", "var(--soft)", "weak to strong")];
    if (choice.residual && choice.view !== "layer") items.push(item("", "var(--residual)", "residual"));
    if (choice.classes && scene.outputs?.contribution && choice.view !== "layer") {
      items.push(item("", "var(--plus)", "for an answer"), item("dashed", "var(--minus)", "against"));
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
