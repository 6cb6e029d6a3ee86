/** Edges that are found in histograms against edges that are made one by one, on scenes of chance. */

import { describe, expect, it } from "vitest";
import { buildGraph } from "../src/scene/build";
import { allEdges } from "../src/scene/candidates";
import { defaultChoice, type Choice, type Direction, type PruneName } from "../src/scene/choice";
import { ATTENTION, CROSS, VALUE, type Edge } from "../src/scene/edges";
import { indexNodes } from "../src/scene/nodes";
import { heldBelow, MOST_DRAWN, orderEdges, prefixBelow } from "../src/scene/prune";
import { findSinks } from "../src/scene/sinks";
import type { CallData, SceneData } from "../src/wire/scene";

function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Shape {
  seed: number;
  tokens?: number;
  cached?: number; // tokens whose rows are not there
  padded?: number[];
  k?: number; // keys kept a row
  isWhole?: boolean;
  ties?: boolean;
  cross?: boolean;
  heads?: number;
  causal?: boolean;
  norms?: boolean;
}

function sceneOf(shape: Shape): SceneData {
  const { seed, tokens = 9, cached = 0, padded = [], k = null, ties = false, cross = false, heads = 3, causal = false, norms = true } = shape;
  const random = chance(seed);
  const side = (name: string, length: number, isPadded: readonly number[]) => ({
    name, tokens: Array.from({ length }, (_, n) => `${name}${n}`), planes: 3, grid: null, patches: null,
    padded: Uint8Array.from({ length }, (_, n) => (isPadded.includes(n) ? 1 : 0)),
  });
  const sides = [side("a", tokens, padded), ...(cross ? [side("b", 5, [])] : [])];
  const calls: CallData[] = [];
  for (let number = 0; number < 2; number++) {
    const isCross = cross && number === 1;
    const [querySide, keySide] = isCross ? [1, 0] : [0, 0];
    const queries = isCross ? 5 : tokens - cached;
    const width = k ?? tokens;
    const [weight, visible] = [new Float32Array(heads * queries * width), new Int32Array(heads * queries)];
    const key = k ? new Int32Array(heads * queries * k).fill(-1) : null;
    const kept = k ? new Float32Array(heads * queries) : null;
    for (let row = 0; row < heads * queries; row++) {
      const query = row % queries;
      const token = isCross ? query : query + cached;
      if (!isCross && padded.includes(token)) continue;
      const all = Array.from({ length: tokens }, (_, n) => {
        const isMasked = padded.includes(n) || (causal && !isCross && n > token) || random() < 0.1;
        return isMasked ? 0 : ties ? Math.ceil(3 * random()) : 0.01 + random();
      });
      const sum = all.reduce((total, w) => total + w, 0) || 1;
      visible[row] = Math.max(1, all.filter((w) => w > 0).length);
      const chosen = all.map((w, n) => [w / sum, n] as const).sort((a, b) => b[0] - a[0]);
      (k ? chosen.slice(0, k) : chosen).forEach(([w, n], slot) => {
        if (w === 0) return;
        weight[row * width + (k ? slot : n)] = w;
        if (key) key[row * width + slot] = n;
        if (kept) kept[row]! += w;
      });
    }
    calls.push({
      number, path: "", site: "", layer: number, kind: isCross ? "cross" : "self", source: "", querySide, keySide, plane: isCross ? 1 : number,
      heads, queries, keys: tokens, k, code: "f32", nanRows: 0, isWhole: k === null || shape.isWhole === true, sums: "", weight, sign: null, vectors: null, key, kept, visible,
      entropy: new Float32Array(heads * queries), flow: new Float32Array(4 * queries).fill(1),
      valueNorm: norms ? Float32Array.from({ length: heads * tokens }, () => 0.2 + random()) : null,
      measures: null,
    });
  }
  return { model: "", sides, calls, outputs: null, warnings: [], before: null } as unknown as SceneData;
}

/** Weight of a pair of tokens; NaN where it is not known. */
function at(call: CallData, shift: number, head: number, query: number, key: number): number {
  const row = query - shift;
  if (row < 0 || row >= call.queries || key >= call.keys) return Number.NaN;
  const start = (head * call.queries + row) * (call.k ?? call.keys);
  if (!call.key) return call.weight[start + key]!;
  for (let n = start; n < start + call.k!; n++) if (call.key[n] === key) return call.weight[n]!;
  return call.isWhole ? 0 : Number.NaN;
}

type Told = Pick<Edge, "kind" | "call" | "head" | "query" | "key" | "weight" | "mass" | "sign">;

/** All edges of a scene, one pair after another. */
function naive(scene: SceneData, direction: Direction, folded: readonly (readonly number[])[]): Told[] {
  const found: Told[] = [];
  for (const call of scene.calls) {
    const shift = scene.sides[call.querySide]!.tokens.length - call.queries;
    const isCross = call.querySide !== call.keySide;
    for (const kind of isCross ? [CROSS] : [ATTENTION, VALUE]) for (let head = 0; head < call.heads; head++) {
      for (let query = shift; query < shift + call.queries; query++) for (let key = 0; key < call.keys; key++) {
        const isOut = (token: number) => folded[call.keySide]!.includes(token) || scene.sides[call.keySide]!.padded[token] === 1;
        const weight = at(call, shift, head, query, key);
        if (!(weight > 0) || isOut(key)) continue;
        const told = { kind, call: call.number, head, query, key, weight, mass: weight, sign: 0 };
        const back = at(call, shift, head, key, query);
        const isPaired = kind === ATTENTION && key !== query;
        if (kind === ATTENTION && direction === "asymmetry") {
          if (!isPaired || !(weight > back) || isOut(query)) continue;
          found.push({ ...told, mass: weight - back, sign: query > key ? 1 : -1 });
        } else if (isPaired && direction === "sum" && back > 0 && !isOut(query)) {
          if (weight > back || (weight === back && query < key)) found.push({ ...told, mass: weight + back });
        } else found.push(told);
      }
    }
  }
  return found;
}

const nameOf = (edge: Told) => [edge.kind, edge.call, edge.head, edge.query, edge.key].join();
const tidy = (edges: readonly Told[]) =>
  [...edges].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)).map((edge) => [nameOf(edge), edge.sign, Math.fround(edge.mass).toFixed(7)].join(" "));

function graphOf(scene: SceneData, change: Partial<Choice>) {
  const choice = { ...defaultChoice(scene.calls[0]!.heads, "ring"), ...change };
  return buildGraph(scene, indexNodes(scene), choice);
}

const listed = (edges: ReturnType<typeof allEdges>) => Array.from({ length: edges.length }, (_, n) => edges.at(n));

const SHAPES: Record<string, Shape> = {
  dense: { seed: 1 }, "two directions that tie": { seed: 2, ties: true }, padded: { seed: 3, padded: [7, 8] },
  "padded on the left": { seed: 4, padded: [0, 1] }, causal: { seed: 5, causal: true }, "a cached step": { seed: 6, cached: 6 },
  "one cached row": { seed: 7, cached: 8 }, "top-k": { seed: 8, k: 4 }, "top-k of whole rows": { seed: 9, k: 9, isWhole: true },
  "top-k after a cache": { seed: 10, k: 3, cached: 4 }, cross: { seed: 11, cross: true }, "cross, top-k": { seed: 12, cross: true, k: 4 },
  "without values": { seed: 13, norms: false },
};

describe.each(Object.entries(SHAPES))("edges of a scene: %s", (_, shape) => {
  const scene = sceneOf(shape);

  it.each(["sum", "forward", "backward", "asymmetry"] as const)("%s: are those that are found pair by pair", (direction) => {
    for (const sinks of ["shown", "folded"] as const) {
      const graph = graphOf(scene, { direction, sinks });
      const folded = sinks === "folded" ? findSinks(scene) : scene.sides.map(() => []);
      const expected = naive(scene, direction, folded);
      expect(tidy(listed(allEdges(graph.parts)))).toEqual(tidy(expected));
      expect(graph.total).toBe(expected.length);
    }
  });

  it.each(["layer", "strength"] as const)("by %s come in the order of the numbers they are compared by", (prune) => {
    const graph = graphOf(scene, {});
    const order = orderEdges(graph, prune);
    expect(order.edges.length).toBe(graph.total);
    const measure = (edge: Edge) => {
      if (edge.kind === VALUE && edge.contribution === edge.contribution) return edge.contribution;
      const { visible, queries } = scene.calls[edge.call]!;
      const shift = scene.sides[scene.calls[edge.call]!.querySide]!.tokens.length - queries;
      const isAlone = visible[edge.head * queries + edge.query - shift] === 1; // and so as good as even attention
      return isAlone ? edge.mass / Math.max(...visible) : edge.mass;
    };
    const edges = listed(order.edges);
    const same = (a: Edge, b: Edge) => (prune === "layer" ? a.call === b.call : true) && a.kind === b.kind;
    const isRising = edges.some((edge, n) => edges.slice(n + 1).some((other) => same(edge, other) && measure(other) > measure(edge)));
    expect(isRising).toBe(false);
    expect([...order.key]).toEqual([...order.key].sort((a, b) => a - b));
    if (prune === "layer") {
      const counts = [1, 2, 5].map((limit) => listed(order.edges).slice(0, prefixBelow(order, limit)).filter((edge) => edge.call === 0 && edge.kind === ATTENTION).length);
      const there = edges.filter((edge) => edge.call === 0 && edge.kind === ATTENTION).length;
      expect(counts).toEqual([1, 2, 5].map((limit) => Math.min(limit, there)));
    }
  });

  it.each(["forward", "backward"] as const)("%s: top-p shows of each row the smallest set that reaches the share", (direction) => {
    const order = orderEdges(graphOf(scene, { direction }), "row");
    const edges = listed(order.edges).map((edge, n) => ({ ...edge, share: order.key[n]! }));
    const rowOf = (edge: Edge) => [edge.call, edge.kind, edge.head, edge.kind === ATTENTION && direction === "backward" ? edge.key : edge.query].join();
    for (const row of new Set(edges.map(rowOf))) {
      const own = edges.filter((edge) => rowOf(edge) === row);
      const measure = (edge: Edge) => (edge.kind === VALUE && edge.contribution === edge.contribution ? edge.contribution : edge.mass);
      const total = own.reduce((sum, edge) => sum + measure(edge), 0);
      let above = 0;
      for (const edge of own.sort((a, b) => measure(b) - measure(a) || a.share - b.share)) {
        expect(edge.share).toBeCloseTo(above / total, 5);
        above += measure(edge);
      }
    }
  });

  it("sum: top-p takes the smaller share of an edge's two rows", () => {
    const forward = orderEdges(graphOf(scene, { direction: "forward" }), "row");
    const shares = new Map(listed(forward.edges).map((edge, n) => [nameOf(edge), forward.key[n]!]));
    const order = orderEdges(graphOf(scene, { direction: "sum" }), "row");
    listed(order.edges).forEach((edge, n) => {
      const own = shares.get(nameOf(edge))!;
      const other = edge.kind === ATTENTION ? shares.get(nameOf({ ...edge, query: edge.key, key: edge.query })) : undefined;
      // Where weights tie, either may come first in its row.
      expect(order.key[n]!).toBeCloseTo(Math.min(own, other ?? 1), 5);
    });
  });
});

it("an edge knows both its ends, backward the other way round", () => {
  const scene = sceneOf({ seed: 20 });
  const [forward, backward] = (["forward", "backward"] as const).map((direction) => listed(allEdges(graphOf(scene, { direction, values: false }).parts)));
  expect(backward!.map((edge) => [edge.to, edge.from])).toEqual(forward!.map((edge) => [edge.from, edge.to]));
  expect(backward!.map((edge) => [edge.query, edge.key, edge.weight])).toEqual(forward!.map((edge) => [edge.query, edge.key, edge.weight]));
});

describe("more edges than can be drawn", () => {
  const scene = sceneOf({ seed: 30, tokens: 100, heads: 4 }); // 80,000 weights, each drawn twice

  it.each(["layer", "row", "strength"] as const)("by %s: the sorted ones are the first of all, and the others are counted", (prune: PruneName) => {
    const graph = graphOf(scene, { direction: "forward" });
    const order = orderEdges(graph, prune);
    expect(graph.total).toBeGreaterThan(2 * MOST_DRAWN);
    expect(order.edges.length).toBeGreaterThan(0.99 * MOST_DRAWN);
    expect(order.edges.length).toBeLessThanOrEqual(MOST_DRAWN);
    const all = listed(allEdges(graph.parts));
    const keys = keysByHand(all, prune);
    const sorted = [...keys].sort((a, b) => a - b);
    expect(Math.max(...order.key.map((key, n) => Math.abs(key - sorted[n]!)))).toBeLessThan(1e-4);
    for (const share of [0.55, 0.7, 0.85]) {
      const limit = sorted[Math.floor(share * sorted.length)]!;
      const below = all.filter((_, n) => keys[n]! < limit);
      const held = heldBelow(graph, order, limit);
      expect(held.isExact).toBe(false);
      expect(Math.abs(held.count / below.length - 1)).toBeLessThan(0.005);
      const mass = below.filter((edge) => edge.kind === ATTENTION).reduce((sum, edge) => sum + edge.mass, 0);
      expect(Math.abs(held.mass / mass - 1)).toBeLessThan(0.01);
      const carried = below.filter((edge) => edge.kind === VALUE).reduce((sum, edge) => sum + edge.contribution, 0);
      expect(Math.abs(held.carried / carried - 1)).toBeLessThan(0.01);
    }
    const whole = heldBelow(graph, order, Infinity);
    expect(whole).toMatchObject({ count: graph.total, isExact: true });
    expect(whole.mass).toBeCloseTo(graph.mass, 2);
    expect(whole.carried).toBeCloseTo(graph.carried, 2);
    expect(whole.kinds).toEqual(graph.totals);
  }, 60_000);
});

/** What a threshold compares, of each edge. */
function keysByHand(edges: readonly Edge[], prune: PruneName): Float64Array {
  const keys = new Float64Array(edges.length);
  const measure = (edge: Edge) => (edge.kind === VALUE ? edge.contribution : edge.mass);
  const groupOf = (edge: Edge) => (prune === "layer" ? edge.call * 2 + edge.kind : prune === "row" ? ((edge.call * 2 + edge.kind) * 4 + edge.head) * 100 + edge.query : edge.kind);
  const groups = new Map<number, number[]>();
  edges.forEach((edge, n) => {
    const group = groups.get(groupOf(edge));
    if (group) group.push(n);
    else groups.set(groupOf(edge), [n]);
  });
  for (const members of groups.values()) {
    members.sort((a, b) => measure(edges[b]!) - measure(edges[a]!));
    const total = members.reduce((sum, n) => sum + measure(edges[n]!), 0);
    let above = 0;
    members.forEach((n, place) => {
      keys[n] = prune === "layer" ? place * (edges[n]!.kind === VALUE ? 4 : 1) : prune === "row" ? above / total : -measure(edges[n]!) / measure(edges[members[0]!]!);
      above += measure(edges[n]!);
    });
  }
  return keys;
}
