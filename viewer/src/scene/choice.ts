/** What the person chose to see: the input of everything that is drawn. */

export const GRAPH_VIEWS = ["3d", "front", "layer"] as const;
export type GraphViewName = (typeof GRAPH_VIEWS)[number];
export type ViewName = GraphViewName | "matrix" | "heads" | "neuron" | "table";
export type LayoutName = "ring" | "line" | "grid" | "spring";
export type ScaleName = "rank" | "paper" | "lift" | "log" | "contribution";
export type PruneName = "layer" | "row" | "strength";
export const HEAD_ORDERS = ["layer", "entropy", "distance", "sink", "contribution", "change", "role"] as const;
export type HeadOrder = (typeof HEAD_ORDERS)[number];
export type Direction = "sum" | "forward" | "backward" | "asymmetry";

export interface Choice {
  view: ViewName;
  layout: LayoutName;
  scale: ScaleName;
  prune: PruneName;
  direction: Direction;
  heads: "each" | "mean";
  layer: number; // index of the call in focus: of the Layer view, and of those that show one head
  head: number; // the head in focus there
  matrix: "heads" | "head"; // of the Matrix view: a picture of each head, or one head's cells
  order: HeadOrder; // of those pictures
  ranked: "layers" | "all"; // ordered within each layer, or over all
  sinks: "shown" | "folded"; // keys that take attention and carry little
  layersOff: ReadonlySet<number>; // indices of calls that are not drawn
  chosenHeads: ReadonlySet<number>; // have a hue
  onlyChosen: boolean; // other heads are not drawn
  solo: { call: number; head: number } | null; // one head of one call alone
  attention: boolean; // edges within planes, and across sides
  values: boolean; // edges from plane to plane
  residual: boolean;
  feedForward: boolean; // what the feed-forward blocks add, as they widen and narrow
  classes: boolean;
}

// Hues that stay apart for colour-blind readers.
export const MOST_HUES = 8;

export function defaultChoice(heads: number, layout: LayoutName): Choice {
  const few = heads <= MOST_HUES;
  return {
    view: "3d", layout, scale: "rank", prune: "layer", direction: "sum", heads: "each",
    layer: 0, head: 0, matrix: "heads", order: "layer", ranked: "layers", sinks: "shown",
    layersOff: new Set(),
    chosenHeads: new Set(few ? Array.from({ length: heads }, (_, head) => head) : []),
    onlyChosen: few,
    solo: null, attention: true, values: true, residual: true, feedForward: false, classes: true,
  };
}

// Choices that do not change which edges there are.
const LOOKS: readonly (keyof Choice)[] = ["layout", "scale", "prune", "layer", "head"];

/** Tell whether two choices have the same edges. */
export function isSameGraph(a: Choice, b: Choice): boolean {
  const isSame = (name: keyof Choice) => LOOKS.includes(name) || a[name] === b[name];
  return (Object.keys(a) as (keyof Choice)[]).every(isSame) && (a.view !== "layer" || a.layer === b.layer);
}

/** The choice by which a view's edges are built: views of one head see its layer, the table sees what 3D does. */
export function graphChoice(choice: Choice): Choice & { view: GraphViewName } {
  switch (choice.view) {
    case "3d":
    case "front":
    case "layer":
      return { ...choice, view: choice.view };
    case "table":
      return { ...choice, view: "3d" };
    case "heads":
    case "neuron":
      return { ...choice, view: "layer", direction: "forward" };
    case "matrix":
      return { ...choice, view: "layer", direction: "forward", heads: "each", sinks: "shown", attention: true, solo: choice.matrix === "head" ? { call: choice.layer, head: choice.head } : null };
    default:
      return { ...choice, view: "layer" };
  }
}

/** Heads of a call that are drawn. */
export function drawnHeads(choice: Choice, call: number, heads: number): number[] {
  if (choice.solo) return choice.solo.call === call && choice.solo.head < heads ? [choice.solo.head] : [];
  if (choice.layersOff.has(call)) return [];
  const all = Array.from({ length: heads }, (_, head) => head);
  if (!choice.onlyChosen || choice.chosenHeads.size === 0) return all;
  return all.filter((head) => choice.chosenHeads.has(head));
}

/** Which of the eight hues a head has; -1: none, drawn in the one neutral hue. */
export function hueOfHead(choice: Choice, head: number, heads: number): number {
  if (head < 0) return -1;
  if (heads <= MOST_HUES) return head;
  if (choice.solo && choice.solo.head === head && !choice.chosenHeads.has(head)) return 0;
  const place = [...choice.chosenHeads].indexOf(head);
  return place >= 0 && place < MOST_HUES ? place : -1;
}

/** What a click on a head changes: few heads are shown or hidden, of many some get a hue. The last of few stays. */
export function toggledHeads(choice: Choice, head: number, heads: number): Partial<Choice> {
  const few = heads <= MOST_HUES;
  const chosen = new Set(choice.chosenHeads);
  if (!chosen.delete(head) && chosen.size < MOST_HUES) chosen.add(head);
  return few && chosen.size === 0 ? {} : { chosenHeads: chosen };
}
