import { describe, expect, it } from "vitest";
import { parseHex, type Colour } from "../src/maths/colour";
import { buildGraph } from "../src/scene/build";
import { allEdges } from "../src/scene/candidates";
import { defaultChoice, type Choice, type ScaleName } from "../src/scene/choice";
import { buildCurves } from "../src/scene/curves";
import { Lanes } from "../src/scene/lanes";
import { placeNodes } from "../src/scene/layout";
import { indexNodes } from "../src/scene/nodes";
import { orderEdges, prefixBelow } from "../src/scene/prune";
import { FAINT, SCALES, scaleEdges } from "../src/scene/scales";
import { edgeStyles } from "../src/ui/views";
import { THEMES } from "../src/ui/theme";
import { readScene } from "../src/wire/scene";
import { pack, smallScene, type SmallScene } from "./blocks";

function graphOf(small: SmallScene, change: Partial<Choice> = {}) {
  const { arrays, meta } = smallScene(small);
  const scene = readScene(pack(arrays, meta));
  const choice: Choice = { ...defaultChoice(scene.calls[0]!.heads, "ring"), values: false, direction: "forward", ...change };
  const index = indexNodes(scene);
  return { scene, choice, index, graph: buildGraph(scene, index, choice) };
}

const NAMES = Object.keys(SCALES) as ScaleName[];
const SIZE = 8;
const rows = (weight: (query: number, key: number) => number) =>
  Array.from({ length: SIZE }, (_, query) => Array.from({ length: SIZE }, (_, key) => weight(query, key)));

describe("what a scale must not say", () => {
  it("nothing of a uniform head: all its edges are alike and faint", () => {
    const { graph } = graphOf({ weights: [rows(() => 1 / SIZE)] });
    for (const name of NAMES) expect(new Set(scaleEdges(name, allEdges(graph.parts)))).toEqual(new Set([Math.fround(FAINT)]));
    expect(graph.flatHeads).toHaveLength(1);
  });

  it("nothing of a head that is uniform but for noise: ranks are tempered, or it counts as uniform", () => {
    // 5 % more or less: lifts up to 1.05, normalised entropy .9994
    const noisy = graphOf({ weights: [rows((query, key) => (1 + 0.05 * ((query + key) % 2 ? 1 : -1)) / SIZE)] });
    expect(noisy.graph.flatHeads).toHaveLength(1);
    // 20 % more or less: not flat, but far from structure
    const uneven = graphOf({ weights: [rows((query, key) => (1 + 0.2 * ((query + key) % 2 ? 1 : -1)) / SIZE)] });
    expect(uneven.graph.flatHeads).toHaveLength(0);
    const strength = scaleEdges("rank", allEdges(uneven.graph.parts));
    expect(Math.max(...strength)).toBeCloseTo(FAINT + (1 - FAINT) * Math.log2(1.2), 5);
  });

  it("a one-hot head has as many edges as rows, all of full strength", () => {
    const { graph } = graphOf({ weights: [rows((query, key) => (key === (query + 3) % SIZE ? 1 : 0))], visible: [Array(SIZE).fill(SIZE)] });
    const edges = allEdges(graph.parts);
    expect(edges.length).toBe(SIZE);
    for (const name of ["rank", "paper", "lift", "log"] as const) expect([...scaleEdges(name, edges)]).toEqual(Array(SIZE).fill(1));
  });

  it("padding changes no colour of a real edge, and is never drawn", () => {
    const weights = rows((query, key) => (key === query ? 0.5 : 0.5 / (SIZE - 1)));
    const padded = (row: number[]) => [...row, 0.3, 0.01]; // whoever forgot the mask lets attention leak there
    const tokens = Array.from({ length: SIZE + 2 }, (_, n) => `t${n}`);
    const more = {
      weights: [[...weights.map(padded), ...[0, 1].map(() => padded(Array(SIZE).fill(1 / SIZE)))]],
      padded: [SIZE, SIZE + 1], tokens, visible: [[...Array(SIZE).fill(SIZE), 0, 0]],
    };
    const [plain, wide] = [allEdges(graphOf({ weights: [weights] }).graph.parts), allEdges(graphOf(more).graph.parts)];
    expect(wide.length).toBe(plain.length);
    for (const name of NAMES) expect([...scaleEdges(name, wide)]).toEqual([...scaleEdges(name, plain)]);
  });

  describe("the first row of a causal head sees one key", () => {
    const causal = rows((query, key) => (key > query ? 0 : query === 0 ? 1 : key === query - 1 ? 0.6 : 0.4 / query));
    const { graph } = graphOf({ weights: [causal] });

    it("and does not saturate any scale but the paper's", () => {
      const edges = allEdges(graph.parts);
      const first = [...edges.query.subarray(0, edges.length)].indexOf(0);
      const previous = Array.from({ length: edges.length }, (_, n) => n).find((n) => edges.query[n] === 5 && edges.key[n] === 4)!;
      for (const name of ["rank", "lift", "log"] as const) {
        const strength = scaleEdges(name, edges);
        expect(strength[first]).toBeLessThan(strength[previous]!);
        expect(Math.max(...strength)).toBe(1);
      }
      expect(scaleEdges("paper", edges)[first]).toBe(1);
    });

    it.each(["layer", "strength"] as const)("and is not first in the order by %s", (prune) => {
      const order = orderEdges(graph, prune);
      const first = [...order.edges.query.subarray(0, order.edges.length)].indexOf(0);
      expect(order.edges.weight[first]).toBe(1);
      // its lift is 1: behind the seven of weight .6, and no sooner than its even share of 1/8
      expect(first).toBeGreaterThanOrEqual(SIZE - 1);
      expect(prefixBelow(order, order.key[first]!)).toBeLessThanOrEqual(first);
    });
  });
});

describe("the paper's encoding", () => {
  it("is min-max opacity, one width, straight lines", () => {
    const [main] = edgeStyles(40, false, 600, { scale: "paper", view: "layer" });
    expect(main.width[0]).toBe(main.width[1]);
    expect(main.alpha).toEqual([0, 1]);
    const { scene, choice, index, graph } = graphOf({ weights: [rows((query, key) => (query === key ? 0.3 : 0.1))] });
    const places = placeNodes(scene, index, choice, 1.4);
    const { edges } = orderEdges(graph, "layer");
    const line = (isStraight: boolean) => buildCurves(edges, edges.length, index, places, {
      layout: "ring", isStack: true, isStraight, lanes: new Lanes(edges, index.count, 1),
    });
    const n = Array.from({ length: edges.length }, (_, k) => k).find((k) => Math.abs(edges.query[k]! - edges.key[k]!) === 2)!;
    const bend = (curves: Float32Array) => {
      const at = (p: number, axis: number) => curves[16 * n + 4 * p + axis]!;
      return Math.hypot(...[1, 2].map((axis) => at(1, axis) - (2 * at(0, axis) + at(3, axis)) / 3));
    };
    expect(bend(line(true))).toBeCloseTo(0, 5);
    expect(bend(line(false))).toBeGreaterThan(0.05);
  });
});

it("edges of one pair run in lanes of their own, the strongest in the middle", () => {
  const head = (weight: number) => rows((query, key) => (query === 1 && key === 4 ? weight : (1 - weight) / SIZE));
  const { graph, index } = graphOf({ weights: [head(0.5), head(0.9), head(0.7)] });
  const { edges } = orderEdges(graph, "layer");
  const lanes = new Lanes(edges, index.count, 3);
  const found = Array.from({ length: edges.length }, (_, n) => n).filter((n) => edges.query[n] === 1 && edges.key[n] === 4);
  const byHead = Object.fromEntries(found.map((n) => [edges.head[n]!, Math.abs(lanes.of(edges, n))]));
  expect(byHead[1]).toBe(0);
  expect(new Set(found.map((n) => lanes.of(edges, n))).size).toBe(3);
});

// CIELAB, D65, of what an eye sees: normal, and without one of two cones (Machado et al. 2009, doi:10.1109/TVCG.2009.113).
const SIGHTS: Record<string, number[][]> = {
  full: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
};

function lab(colour: Colour, sight: number[][]): number[] {
  const linear = colour.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  const seen = sight.map((row) => Math.min(1, Math.max(0, row.reduce((sum, part, n) => sum + part * linear[n]!, 0))));
  const [r, g, b] = seen as [number, number, number];
  const f = (t: number) => (t > 216 / 24389 ? Math.cbrt(t) : ((24389 / 27) * t + 16) / 116);
  const x = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
  const y = f(0.2126729 * r + 0.7151522 * g + 0.072175 * b);
  const z = f((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function nearest(hexes: readonly string[], sight: string): number {
  const seen = hexes.map((hex) => lab(parseHex(hex), SIGHTS[sight]!));
  let least = Infinity;
  for (let a = 0; a < seen.length; a++) for (let b = 0; b < a; b++) {
    least = Math.min(least, Math.hypot(...seen[a]!.map((value, n) => value - seen[b]![n]!)));
  }
  return least;
}

// Delta-E that a line of two pixels needs to look different to most: about a noticeable step (analyses, ND of 20 for lightness).
const LEAST_APART = 25;

describe.each(["light", "dark"] as const)("the eight head colours of the %s theme", (name) => {
  it.each(Object.keys(SIGHTS))("stay apart in %s sight", (sight) => {
    expect(nearest(THEMES[name].heads, sight)).toBeGreaterThan(LEAST_APART);
  });
});

it("head colours that deuteranopes mix up are caught", () => {
  expect(nearest(["#d55e00", "#a67c00"], "deuteranopia")).toBeLessThan(LEAST_APART); // the first palette had both
});
