/** State of one viewer: the data, the choices, and what follows from them. No element is touched here. */

import { buildGraph, type Graph } from "../scene/build";
import { defaultChoice, graphChoice, isSameGraph, type Choice, type LayoutName, type PruneName } from "../scene/choice";
import { differenceScene, whyIncomparable } from "../scene/difference";
import { firstRow, joinPasses, reserve } from "../scene/growth";
import type { Edge } from "../scene/edges";
import { indexNodes, type NodeIndex } from "../scene/nodes";
import { countBelow, heldBelow, orderEdges, type Held, type Order } from "../scene/prune";
import { receivedAttention } from "../scene/story";
import { isCount } from "../wire/block";
import { gunzip } from "../wire/inflate";
import { Knocking } from "./knocking";
import type { Page } from "../wire/page";
import { readScene, type SceneData } from "../wire/scene";

export type Selection =
  | { kind: "token"; side: number; token: number; plane: number }
  | { kind: "edge"; edge: Edge }
  | { kind: "answer"; answer: number };

/** Brings the data of frames that the page only names. */
export interface Loader {
  head(frame: number): Promise<SceneData>; // calls that keep nothing yet
  fill(frame: number): Promise<void>; // the calls, into the scene on show
  said(): string | null; // what is on its way, in words
  stop(): void;
}

/** What changed: each also means all that stand after it. */
export type Change = "scene" | "graph" | "threshold" | "selection";

// A picture's data unpacked; a tab holds a few of them.
const LONGEST_SCENE = 600 * 1024 * 1024;
// Decoded frames that are kept for going back and forth.
const KEPT_FRAMES = 6;
// Passes of a generation are small, and a later one needs those before it.
const KEPT_PASSES = 400;
// Edges of a picture that moves, and of a first one.
export const MOST_DRAWN_MOVING = 10_000;
// Edges per token and layer that the default shows: in one plane, and where all layers share the canvas.
const EDGES_PER_TOKEN = { plane: 2, all: 1 };
// Share of a row at which its strongest edge alone is shown.
const LEAST_ROW_SHARE = 0.02;
// Range of the strength threshold: four decades below the largest.
const STRENGTH_DECADES = 4;

export class Model {
  scene!: SceneData;
  index!: NodeIndex;
  choice!: Choice;
  graph!: Graph;
  order!: Order;
  received!: ReturnType<typeof receivedAttention>;
  frame = -1;
  against: number | "other" | null = null; // the frame that this one is compared with; "other": the one beside it
  incomparable: string | null = null; // why it could not be
  sliders: Record<PruneName, number> = { layer: Number.NaN, row: Number.NaN, strength: Number.NaN }; // 0 to 1
  selection: Selection | null = null;
  hover: Selection | null = null;
  private readonly cache = new Map<Uint8Array, SceneData>();
  private readonly listeners = new Set<(change: Change) => void>();
  private wanted = -1;
  private hasLimit = false; // the person chose how many edges a layer shows
  private built: { scene: SceneData; choice: Choice } | null = null; // what the graph was built from

  readonly knocking = new Knocking(this);
  loader: Loader | null = null; // of frames that the page does not hold

  constructor(public page: Page) {}

  listen(listener: (change: Change) => void): void {
    this.listeners.add(listener);
  }

  private tell(change: Change): void {
    for (const listener of this.listeners) listener(change);
  }

  /** Unpack a frame and show it; of several calls the last wins. */
  async showFrame(number: number): Promise<void> {
    const entry = this.page.frames[number];
    if (!entry) return;
    this.wanted = number;
    if (number === this.frame) return;
    const scene = await this.comparedScene(number);
    if (this.wanted !== number) return;
    this.frame = number;
    const before = this.scene as SceneData | undefined;
    this.scene = scene;
    this.index = indexNodes(scene);
    if (!before || !isAlike(before, scene)) this.setDefaults();
    this.hover = null;
    this.keepSelection(before);
    this.knocking.out = null;
    this.rebuild();
    this.tell("scene");
    void this.loader?.fill(number);
  }

  /** Take over the scene on show with more of its calls. */
  replaceScene(scene: SceneData): void {
    this.scene = scene;
    this.hover = null;
    this.rebuild();
    this.tell("scene");
  }

  /** Compare the frame on show with another of the page, or with none; returns whether that could be done. */
  async compare(against: unknown): Promise<boolean> {
    const isFrame = isCount(against) && against < this.page.frames.length;
    if (against !== null && against !== "other" && !isFrame) return false;
    if (against === this.against) return true;
    this.against = against as typeof this.against;
    const shown = this.wanted;
    this.wanted = this.frame = -1;
    await this.showFrame(shown);
    return against === null || this.incomparable === null;
  }

  /** A frame's scene, or its difference to the one that it is compared with. */
  private async comparedScene(number: number): Promise<SceneData> {
    const scene = await this.wholeScene(number);
    const against = this.against === "other" ? this.page.frames[number]!.against : this.against;
    this.incomparable = null;
    if (against === null || against === number) return scene;
    const before = await this.wholeScene(against);
    this.incomparable = whyIncomparable(before, scene);
    return this.incomparable === null ? differenceScene(before, scene) : scene;
  }

  /** Take over newer data; returns the frame that shows what was on show, or what came after it. */
  replacePage(page: Page): number {
    const before = this.page.frames;
    const shown = before[this.wanted];
    const isLast = this.wanted === before.length - 1;
    this.page = page;
    this.knocking.forget();
    for (const old of this.cache.keys()) if (!page.frames.some((frame) => frame.bytes === old)) this.cache.delete(old);
    const last = page.frames.length - 1;
    const at = page.frames.findIndex((frame) => frame.bytes === shown?.bytes);
    const next = at >= 0 && !(isLast && page.frames[last]!.group !== "example") ? at : isLast ? last : Math.min(this.wanted, last);
    if (typeof this.against === "number" && this.against > last) this.against = null;
    this.frame = page.frames[next]!.bytes === shown?.bytes ? next : -1;
    return next;
  }

  /** A frame's scene; of a generation with the rows of the passes before it. */
  private async wholeScene(number: number): Promise<SceneData> {
    const { frames } = this.page;
    const scene = await this.sceneOf(number);
    if (frames[number]!.group !== "generation") return scene;
    const passes = [scene];
    for (let n = number - 1; n >= 0 && firstRow(passes[0]!) > 0 && frames[n]!.group === "generation"; n--) {
      const earlier = await this.sceneOf(n);
      if (earlier.sides.at(-1)!.tokens.length !== firstRow(passes[0]!)) break;
      passes.unshift(earlier);
    }
    const most = scene.sides.map((_, side) => Math.max(...frames.map((frame) => (frame.group === "generation" ? frame.tokens[side] ?? 0 : 0))));
    const whole = joinPasses(passes);
    return { ...whole, sides: reserve(whole.sides, most) };
  }

  /** Unpack a frame, or find it unpacked. */
  async sceneOf(number: number): Promise<SceneData> {
    const { bytes, group } = this.page.frames[number]!;
    let scene = this.cache.get(bytes);
    if (!scene) {
      if (this.loader) return await this.loader.head(number);
      scene = readScene(await gunzip(bytes, LONGEST_SCENE));
      this.cache.set(bytes, scene);
      const most = group === "generation" ? KEPT_PASSES : KEPT_FRAMES;
      for (const old of this.cache.keys()) if (this.cache.size > most) this.cache.delete(old);
    }
    return scene;
  }

  /** Rows that a pass of the page holds itself in a call; null before it was unpacked. */
  queriesOf(frame: number, call: number): number | null {
    return this.cache.get(this.page.frames[frame]!.bytes)?.calls[call]?.queries ?? null;
  }

  private setDefaults(): void {
    const heads = Math.max(0, ...this.scene.calls.map((call) => call.heads));
    const hasPictures = this.scene.sides.some((side) => side.patches !== null || side.grid !== null);
    const layout: LayoutName = hasPictures ? "grid" : "ring";
    this.choice = defaultChoice(heads, layout);
    this.selection = null;
    this.hasLimit = false;
    this.sliders = { layer: Number.NaN, row: Number.NaN, strength: Number.NaN };
  }

  /** A token stays selected if the next frame has the same there; an edge does not, its numbers are others. */
  private keepSelection(before: SceneData | undefined): void {
    const { selection, scene } = this;
    if (selection?.kind !== "token") {
      this.selection = null;
      return;
    }
    const side = scene.sides[selection.side];
    const text = side?.tokens[selection.token];
    const isSame = text !== undefined && text === before?.sides[selection.side]?.tokens[selection.token];
    if (!isSame || side!.padded[selection.token] || selection.plane >= side!.planes) this.selection = null;
  }

  /** Change choices; edges are built and sorted anew. */
  choose(change: Partial<Choice>): void {
    this.choice = { ...this.choice, ...change };
    this.choice.layer = Math.min(Math.max(this.choice.layer, 0), this.scene.calls.length - 1);
    this.choice.head = Math.min(Math.max(this.choice.head, 0), (this.scene.calls[this.choice.layer]?.heads ?? 1) - 1);
    this.hover = null;
    if (this.selection?.kind === "edge") this.selection = null;
    // An order of pictures leaves the graph as it is.
    if (Object.keys(change).some((name) => name !== "order" && name !== "ranked")) this.rebuild();
    this.knocking.follow();
    this.tell("graph");
  }

  private rebuild(): void {
    const drawn = graphChoice(this.choice);
    if (this.scene.before) drawn.direction = "forward"; // two differences of one pair may have two signs
    const { built } = this;
    const isSame = built !== null && built.scene === this.scene && isSameGraph(built.choice, drawn);
    if (!isSame) {
      this.graph = buildGraph(this.scene, this.index, drawn);
      this.received = receivedAttention(this.scene, this.index, drawn);
    }
    if (!isSame || built.choice.prune !== drawn.prune) this.order = orderEdges(this.graph, drawn.prune);
    this.built = { scene: this.scene, choice: drawn };
    const { sliders } = this;
    const isPlane = graphChoice(this.choice).view === "layer";
    const most = isPlane ? MOST_DRAWN_MOVING : MOST_DRAWN_MOVING / Math.max(1, this.scene.calls.length);
    const perLayer = Math.min(EDGES_PER_TOKEN[isPlane ? "plane" : "all"] * this.tokens(), most);
    if (!this.hasLimit) sliders.layer = this.sliderOfLayerLimit(perLayer);
    const { key } = this.order;
    const wanted = perLayer * Math.max(1, this.scene.calls.length);
    const last = key.length ? key[Math.min(key.length - 1, wanted)]! : 0;
    if (this.choice.prune === "strength" && Number.isNaN(sliders.strength)) {
      const share = Math.max(-last, 10 ** -STRENGTH_DECADES);
      sliders.strength = Math.min(0.999, Math.max(0, -Math.log10(share) / STRENGTH_DECADES));
    }
    if (this.choice.prune === "row" && Number.isNaN(sliders.row)) sliders.row = Math.min(0.9, Math.max(LEAST_ROW_SHARE, last));
  }

  /** Real tokens of the longest side. */
  private tokens(): number {
    return Math.max(1, ...this.scene.sides.map((side) => side.padded.reduce((sum, padded) => sum + 1 - padded, 0)));
  }

  private largestLayer(): number {
    const heads = Math.max(1, ...this.scene.calls.map((call) => call.heads));
    return Math.max(2, heads * this.tokens() ** 2);
  }

  private sliderOfLayerLimit(limit: number): number {
    return Math.min(0.999, Math.log(limit) / Math.log(this.largestLayer()));
  }

  /** The threshold that the slider means: edges a layer, share of a row, or share of the largest strength. */
  limit(): number {
    const { prune } = this.choice;
    const slider = this.sliders[prune];
    if (prune === "layer") return slider >= 1 ? Infinity : Math.max(1, Math.round(this.largestLayer() ** slider));
    if (prune === "row") return slider;
    return slider >= 1 ? 0 : 10 ** (-STRENGTH_DECADES * slider);
  }

  setSlider(value: number): void {
    if (this.choice.prune === "layer") this.hasLimit = true;
    this.sliders[this.choice.prune] = Math.min(1, Math.max(0, value));
    this.tell("threshold");
  }

  /** Edges that pass the threshold: the first so many of the order. */
  shown(): number {
    return countBelow(this.order, this.keyLimit());
  }

  /** What the edges that pass the threshold hold. */
  held(): Held {
    return heldBelow(this.graph, this.order, this.keyLimit());
  }

  /** The limit as keys of the order have it. */
  keyLimit(): number {
    if (this.sliders[this.choice.prune] >= 1) return Infinity;
    const limit = this.limit();
    // Strength keys are negative shares: an edge as strong as the limit is shown.
    return this.choice.prune === "strength" ? -limit * (1 - 1e-6) : Math.max(limit, 1e-9);
  }

  select(selection: Selection | null): void {
    this.selection = selection;
    this.hover = null;
    this.tell(this.knocking.follow() ? "graph" : "selection");
  }

  /** Draw what is there in another way. */
  redraw(): void {
    this.tell("graph");
  }

  preview(hover: Selection | null): void {
    this.hover = hover;
    this.tell("selection");
  }

  /** Name of a call as people say it. */
  layerName(call: number): string {
    const found = this.scene.calls[call];
    if (!found) return "";
    if (this.scene.sides.length < 2) return `layer ${found.layer}`;
    const query = this.scene.sides[found.querySide]!.name;
    return found.kind === "cross"
      ? `layer ${found.layer}, ${query} to ${this.scene.sides[found.keySide]!.name}`
      : `layer ${found.layer}, ${query}`;
  }
}

/** Tell whether choices made for one scene mean the same in another. */
function isAlike(a: SceneData, b: SceneData): boolean {
  return (
    a.calls.length === b.calls.length &&
    a.sides.length === b.sides.length &&
    a.calls.every((call, n) => call.heads === b.calls[n]!.heads && call.kind === b.calls[n]!.kind)
  );
}
