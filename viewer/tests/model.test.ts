import { describe, expect, it } from "vitest";
import { allEdges } from "../src/scene/candidates";
import { Model } from "../src/ui/model";
import type { Page } from "../src/wire/page";
import { pack, smallScene } from "./blocks";

const TOKENS = 12;
const HEADS = 4;

/** Attention of made-up heads: each row falls off with the distance from a key of its own. */
function weights(seed: number): number[][][] {
  return Array.from({ length: HEADS }, (_, head) => Array.from({ length: TOKENS }, (_, query) => {
    const row = Array.from({ length: TOKENS }, (_, key) => Math.exp(-Math.abs(((query * (head + 1) + seed) % TOKENS) - key)));
    const sum = row.reduce((total, w) => total + w, 0);
    return row.map((w) => w / sum);
  }));
}

async function pageOf(tokens: string[][]): Promise<Page> {
  const frames = await Promise.all(tokens.map(async (words, n) => {
    const { arrays, meta } = smallScene({ weights: weights(n), tokens: words, norms: Array(HEADS).fill(Array(TOKENS).fill(1)) });
    const block = pack(arrays, meta) as Uint8Array<ArrayBuffer>;
    const bytes = await new Response(new Blob([block]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
    return { id: -1, label: `frame ${n}`, group: "example" as const, number: n + 1, bytes: new Uint8Array(bytes), example: 0, against: null, tokens: [], marks: {} };
  }));
  return { title: "T", note: "", createdBy: "", frames, view: {} };
}

const words = (first: string) => [first, ...Array.from({ length: TOKENS - 1 }, (_, n) => `w${n}`)];

async function modelOf(...firsts: string[]): Promise<Model> {
  const model = new Model(await pageOf(firsts.map(words)));
  await model.showFrame(0);
  return model;
}

describe("a fresh view", () => {
  it("shows at most two edges a token in the layer's plane, the strongest of them", async () => {
    const model = await modelOf("a");
    model.choose({ view: "layer" });
    expect(model.shown()).toBe(2 * TOKENS);
    const edges = allEdges(model.graph.parts);
    const masses = [...edges.mass.subarray(0, edges.length)].sort((a, b) => b - a);
    const best = masses.slice(0, 2 * TOKENS).reduce((sum, mass) => sum + mass, 0);
    expect(model.order.massBefore[model.shown()]).toBeCloseTo(best, 5);
  });

  it("shows one edge a token and layer where all layers share the canvas, until the person says how many", async () => {
    const model = await modelOf("a");
    model.choose({ values: false });
    expect(model.shown()).toBe(TOKENS);
    model.setSlider(model.sliders.layer + 0.05);
    const chosen = model.shown();
    expect(chosen).toBeGreaterThan(TOKENS);
    model.choose({ view: "layer" });
    expect(model.shown()).toBe(chosen);
  });
});

describe("the threshold", () => {
  it.each(["layer", "row", "strength"] as const)("%s: is a draw count in an order that stays", async (prune) => {
    const model = await modelOf("a");
    model.choose({ prune });
    const { order, graph } = model;
    let last = -1;
    for (const slider of [0, 0.2, 0.4, 0.6, 0.8, 0.99]) {
      model.setSlider(slider);
      expect(model.shown()).toBeGreaterThanOrEqual(last);
      last = model.shown();
    }
    model.setSlider(1);
    expect(model.shown()).toBe(graph.total);
    expect(order.massBefore.at(-1)).toBeCloseTo(graph.mass, 4);
    expect(model.order).toBe(order); // nothing was built anew
    expect(model.graph).toBe(graph);
  });
});

describe("a choice of looks", () => {
  it("keeps the edges that there are, and another one does not", async () => {
    const model = await modelOf("a");
    const { graph, order } = model;
    model.choose({ scale: "lift", layout: "line" });
    expect([model.graph, model.order]).toEqual([graph, order]);
    expect(model.graph).toBe(graph);
    expect(model.order).toBe(order);
    model.choose({ prune: "strength" });
    expect(model.graph).toBe(graph);
    expect(model.order).not.toBe(order);
    for (const change of [{ direction: "forward" }, { sinks: "folded" }, { view: "layer" }, { heads: "mean" }, { solo: { call: 0, head: 1 } }] as const) {
      const before = model.graph;
      model.choose(change);
      expect(model.graph).not.toBe(before);
    }
  });

  it("folds sinks away, and says what they held", async () => {
    const model = await modelOf("[CLS]");
    const { total, mass } = model.graph;
    model.choose({ sinks: "folded" });
    expect(model.graph.total).toBeLessThan(total);
    expect(model.graph.mass).toBeCloseTo(mass, 5);
    const whole = model.scene.calls[0]!.weight;
    let held = 0;
    for (let row = 0; row < HEADS * TOKENS; row++) held += whole[row * TOKENS]!;
    const share = Math.round((100 * held) / (HEADS * TOKENS));
    expect(model.graph.dropped[0]!.replace("\u202f", " ")).toMatch(new RegExp(`^sink \\[CLS\\] folded: ${share}[.\\d]* % of attention$`));
  });
});

describe("another frame", () => {
  it("keeps the choices where they mean the same", async () => {
    const model = await modelOf("a", "b");
    model.choose({ view: "front", scale: "lift" });
    await model.showFrame(1);
    expect(model.choice).toMatchObject({ view: "front", scale: "lift" });
  });

  it("keeps a selected token only where the same word stands there", async () => {
    const model = await modelOf("a", "b");
    model.select({ kind: "token", side: 0, token: 3, plane: 0 });
    await model.showFrame(1);
    expect(model.selection).toMatchObject({ token: 3 });
    model.select({ kind: "token", side: 0, token: 0, plane: 0 });
    await model.showFrame(0);
    expect(model.selection).toBeNull();
  });

  it("that was asked for last is the one that is shown", async () => {
    const model = await modelOf("a", "b", "c");
    await Promise.all([model.showFrame(1), model.showFrame(2)]);
    expect(model.frame).toBe(2);
    await Promise.all([model.showFrame(0), model.showFrame(2)]);
    expect(model.frame).toBe(2);
  });
});

it("one head alone is that head alone", async () => {
  const model = await modelOf("a");
  model.choose({ solo: { call: 0, head: 2 } });
  expect(new Set(model.order.edges.head.subarray(0, model.order.edges.length))).toEqual(new Set([2]));
});
