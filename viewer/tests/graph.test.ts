import { describe, expect, it } from "vitest";
import { buildGraph, type Graph } from "../src/scene/build";
import { allEdges } from "../src/scene/candidates";
import { defaultChoice, hueOfHead, type Choice } from "../src/scene/choice";
import { ANSWER, ATTENTION, RESIDUAL, VALUE, type Edges } from "../src/scene/edges";
import { indexNodes } from "../src/scene/nodes";
import { pairDetails } from "../src/scene/pair";
import { heldBelow, orderEdges, prefixBelow } from "../src/scene/prune";
import { FAINT, scaleEdges } from "../src/scene/scales";
import { storyEdges, tellStory } from "../src/scene/story";
import { readScene } from "../src/wire/scene";
import { pack, smallScene, type SmallScene } from "./blocks";

function graphOf(small: SmallScene, change: Partial<Choice> = {}) {
  const { arrays, meta } = smallScene(small);
  const scene = readScene(pack(arrays, meta));
  const choice = { ...defaultChoice(scene.calls[0]!.heads, "ring"), values: false, ...change };
  const index = indexNodes(scene);
  return { scene, choice, index, graph: buildGraph(scene, index, choice) };
}

const tableOf = (edges: Edges) => Array.from({ length: edges.length }, (_, n) => edges.at(n));
const list = (graph: Graph) => tableOf(allEdges(graph.parts));

// Rows: t0 looks at itself only; t1 at t0; t2 at t0 and t1.
const CAUSAL = [[[1, 0, 0], [0.75, 0.25, 0], [0.5, 0.25, 0.25]]];
// Nothing is masked.
const FULL = [[[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.625, 0.25, 0.125]]];

describe("attention edges", () => {
  it("of the sum hold the weights of both directions, once per pair", () => {
    const { graph } = graphOf({ weights: FULL });
    const edges = list(graph);
    expect(edges).toHaveLength(6); // three pairs, three tokens with themselves
    const pair = edges.find((edge) => edge.query + edge.key === 2 && edge.query !== edge.key)!;
    // A[0, 2] = 0.25, A[2, 0] = 0.625: told from the one that attends more
    expect(pair).toMatchObject({ query: 2, key: 0, weight: 0.625, reverse: 0.25, mass: 0.875, kind: ATTENTION });
    const own = edges.find((edge) => edge.query === 1 && edge.key === 1)!;
    expect(own.mass).toBe(0.75);
  });

  it("of the sum hold all attention: as much as there are rows", () => {
    const { graph } = graphOf({ weights: FULL });
    expect(graph.mass).toBeCloseTo(3, 6);
    expect(list(graph).reduce((sum, edge) => sum + edge.mass, 0)).toBeCloseTo(3, 6);
  });

  it("forward are one per weight and know their reverse", () => {
    const { graph } = graphOf({ weights: FULL }, { direction: "forward" });
    const edges = list(graph);
    expect(edges).toHaveLength(9);
    expect(edges.find((edge) => edge.query === 0 && edge.key === 2)).toMatchObject({ weight: 0.25, reverse: 0.625, mass: 0.25 });
  });

  it("that are masked are not there", () => {
    expect(list(graphOf({ weights: CAUSAL }).graph)).toHaveLength(6); // 3 + 3 of the lower triangle
  });

  it("of padding are not there", () => {
    const { graph } = graphOf({
      weights: [[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]], padded: [2], visible: [[3, 3, 0]],
    });
    expect(list(graph)).toHaveLength(3);
    expect(list(graph).every((edge) => edge.query < 2 && edge.key < 2)).toBe(true);
    expect(graph.mass).toBeCloseTo(1.5, 6);
  });

  it("of a mean are the mean of the heads", () => {
    const { graph } = graphOf({ weights: [[[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]] }, { heads: "mean" });
    const pair = list(graph).find((edge) => edge.query !== edge.key)!;
    expect(pair).toMatchObject({ head: -1, weight: 0.25, reverse: 0.25, mass: 0.5 });
  });

  it("of rows that list every key they see lack nothing", () => {
    const { graph } = graphOf({
      weights: FULL,
      top: { keys: [[[0], [1], [0]]], weights: [[[1], [1], [1]]], kept: [[1, 1, 1]] },
      visible: [[1, 1, 1]],
      said: { is_whole: true },
    });
    expect(list(graph).find((edge) => edge.query === 2)!.reverse).toBe(0);
    expect(graph.dropped).toEqual([]);
  });

  it("of rows that do not sum to 1 are said to", () => {
    const { graph } = graphOf({ weights: FULL, said: { sums: "rows of attention sum to 0.5 to 0.7, not 1" } });
    expect(graph.dropped).toEqual(["layer 0: rows of attention sum to 0.5 to 0.7, not 1"]);
  });

  it("of a top-k capture pair up, and say what was not kept", () => {
    const { graph } = graphOf({
      weights: FULL,
      top: { keys: [[[0], [1], [0]]], weights: [[[0.5], [0.75], [0.625]]], kept: [[0.5, 0.75, 0.625]] },
      visible: [[3, 3, 3]],
    });
    const pair = list(graph).find((edge) => edge.query === 2)!;
    expect(pair.weight).toBe(0.625);
    expect(pair.reverse).toBeNaN();
    expect(graph.mass).toBeCloseTo(3, 5); // what was not kept still counts as attention
    expect(graph.dropped[0]).toContain("1 of 3 keys a row, 62.5 % of the attention");
  });
});

describe("edges between planes", () => {
  it("of values carry weight times the value's norm", () => {
    const { graph } = graphOf({ weights: FULL, norms: [[2, 4, 8]] }, { view: "front" });
    const edge = list(graph).find((one) => one.query === 0 && one.key === 2)!;
    expect(edge).toMatchObject({ kind: VALUE, contribution: 2 });
    expect(graph.carried).toBeCloseTo(0.5 * 2 + 0.25 * 4 + 0.25 * 8 + 0.125 * 2 + 0.75 * 4 + 0.125 * 8 + 0.625 * 2 + 0.25 * 4 + 0.125 * 8, 5);
  });

  it("of the residual and the answers are always drawn, small parts of a score are not", () => {
    const { graph } = graphOf({ weights: FULL, parts: [[1, -0.5, 0.01], [0, 0.2, 0]] });
    const fixed = Array.from({ length: graph.fixed.length }, (_, n) => graph.fixed.at(n));
    expect(fixed.filter((edge) => edge.kind === RESIDUAL)).toHaveLength(3);
    const answers = fixed.filter((edge) => edge.kind === ANSWER);
    expect(answers.map((edge) => [edge.query, edge.key, Math.fround(edge.weight)])).toEqual([
      [0, 0, 1], [0, 1, -0.5], [1, 1, Math.fround(0.2)],
    ]);
  });
});

describe("pruning", () => {
  it("per layer shows the strongest, and every threshold is a prefix", () => {
    const { graph } = graphOf({ weights: FULL });
    const order = orderEdges(graph, "layer");
    expect([...order.key]).toEqual([0, 1, 2, 3, 4, 5]);
    const masses = Array.from({ length: 6 }, (_, n) => order.edges.at(n).mass);
    expect(masses).toEqual([...masses].sort((a, b) => b - a));
    expect(prefixBelow(order, 2)).toBe(2);
    expect(order.massBefore[2]).toBeCloseTo(0.875 + 0.75, 6);
    expect(order.massBefore[6]).toBeCloseTo(3, 6);
  });

  it("per token keeps each row's smallest set that reaches the share", () => {
    const { graph } = graphOf({ weights: [[[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.34, 0.33, 0.33]]] }, { direction: "forward" });
    const order = orderEdges(graph, "row");
    const shown = (p: number) => {
      const counts = [0, 0, 0];
      for (let n = 0; n < prefixBelow(order, p); n++) counts[order.edges.query[n]!]!++;
      return counts;
    };
    expect(shown(0.01)).toEqual([1, 1, 1]);
    expect(shown(0.6)).toEqual([2, 1, 2]);
    expect(shown(0.85)).toEqual([3, 2, 3]);
  });

  it("per token keeps an undirected edge that either of its tokens keeps", () => {
    const order = orderEdges(graphOf({ weights: FULL }).graph, "row");
    // the strongest of each row: (0, 0), (1, 1), and (2, 0), which is third in row 0
    expect(prefixBelow(order, 0.01)).toBe(3);
    expect(tableOf(order.edges).slice(0, 3).map((edge) => [edge.query, edge.key]).sort()).toEqual([[0, 0], [1, 1], [2, 0]]);
  });

  it("counts attention once where it is drawn within planes and between them", () => {
    const { graph } = graphOf({ weights: FULL, norms: [[1, 1, 1]] }, { values: true });
    const order = orderEdges(graph, "layer");
    expect(graph.mass).toBeCloseTo(3, 6);
    expect(order.massBefore.at(-1)).toBeCloseTo(3, 6);
    expect(heldBelow(graph, order, Infinity).kinds).toEqual(graph.totals);
    expect(graph.totals.reduce((sum, total) => sum + total)).toBe(graph.total);
    expect(Math.min(graph.totals[ATTENTION]!, graph.totals[VALUE]!)).toBeGreaterThan(0);
    expect(order.carriedBefore.at(-1)).toBeCloseTo(3, 6);
  });

  it("by strength compares all layers and rows", () => {
    const { graph } = graphOf({ weights: FULL });
    const order = orderEdges(graph, "strength");
    expect(-order.key[0]!).toBe(1);
    expect(-order.key[1]!).toBeCloseTo(0.75 / 0.875, 6);
    expect(prefixBelow(order, -0.8)).toBe(2);
  });
});

describe("a uniform head", () => {
  const even = [1 / 3, 1 / 3, 1 / 3];

  it("is drawn flat by every scale, and said so", () => {
    const { graph } = graphOf({ weights: [[even, even, even]] });
    expect(graph.flatHeads).toEqual(["layer 0 head 0"]);
    for (const scale of ["rank", "paper", "lift", "log", "contribution"] as const) {
      expect(new Set(scaleEdges(scale, allEdges(graph.parts)))).toEqual(new Set([Math.fround(FAINT)]));
    }
  });

  it("alone is shown whole at any threshold: a part of it would look like structure", () => {
    const { graph } = graphOf({ weights: [[even, even, even]] });
    expect(orderEdges(graph, "layer").always).toBe(graph.total);
  });

  it("beside others comes last", () => {
    const { graph } = graphOf({ weights: [FULL[0]!, [even, even, even]] });
    const order = orderEdges(graph, "layer");
    expect(order.always).toBe(0);
    expect([...order.edges.head.subarray(0, order.edges.length)]).toEqual([...Array(6).fill(0), ...Array(6).fill(1)]);
  });

  it("is told from a head that is nearly uniform", () => {
    const { graph } = graphOf({ weights: [[[0.3, 0.35, 0.35], even, even]] });
    expect(graph.flatHeads).toEqual([]);
  });
});

describe("scales", () => {
  const causal = () => allEdges(graphOf({ weights: CAUSAL }, { direction: "forward" }).graph.parts);
  const at = (edges: ReturnType<typeof causal>, query: number, key: number) =>
    Array.from({ length: edges.length }, (_, n) => n).find((n) => edges.query[n] === query && edges.key[n] === key)!;

  it("lift: weight x visible keys; uniform is 3 / (top + 3)", () => {
    const edges = causal();
    expect(edges.lift[at(edges, 0, 0)]).toBe(1); // one visible key: weight 1 says nothing
    expect(edges.lift[at(edges, 1, 0)]).toBe(1.5);
    const strength = scaleEdges("lift", edges);
    // top = max(1, log2 1.5) = 1
    expect(strength[at(edges, 0, 0)]).toBeCloseTo(3 / 4, 6);
    expect(strength[at(edges, 1, 0)]).toBeCloseTo((Math.log2(1.5) + 3) / 4, 6);
  });

  it("rank: a causal first row is not the strongest, though its weight is 1", () => {
    const edges = causal();
    const strength = scaleEdges("rank", edges);
    // 1 counts as 1/3; then weights .75, .25, .5, .25, .25. The largest lift is 1.5: less than 2, so ranks are tempered.
    const tempered = (rank: number) => FAINT + (rank - FAINT) * Math.log2(1.5);
    expect(strength[at(edges, 0, 0)]).toBeCloseTo(tempered(4 / 6), 6);
    expect(strength[at(edges, 1, 0)]).toBeCloseTo(tempered(1), 6);
    expect(strength[at(edges, 1, 1)]).toBeCloseTo(tempered(3 / 6), 6);
  });

  it("min-max: the paper's saturates there", () => {
    const edges = causal();
    const strength = scaleEdges("paper", edges);
    expect(strength[at(edges, 0, 0)]).toBe(1);
    expect(strength[at(edges, 2, 0)]).toBeCloseTo((0.5 - 0.25) / 0.75, 6);
    expect(strength[at(edges, 1, 1)]).toBe(0);
  });

  it("log: five decades", () => {
    const edges = causal();
    expect(scaleEdges("log", edges)[at(edges, 2, 0)]).toBeCloseTo(1 + Math.log10(0.5 / 0.75) / 5, 6); // the 1 of a row without a choice is not the largest
  });

  it("contribution: linear from 0", () => {
    const { graph } = graphOf({ weights: CAUSAL, norms: [[1, 8, 2]] }, { direction: "forward" });
    const strength = scaleEdges("contribution", allEdges(graph.parts));
    // contributions 1, .75, 2, .5, 2, .5
    expect([...strength].map((value) => Number(value.toFixed(4)))).toEqual([0.5, 0.375, 1, 0.25, 1, 0.25]);
  });

  it("compare only the edges that are shown", () => {
    const edges = orderEdges(graphOf({ weights: FULL }).graph, "layer").edges;
    expect(Math.min(...scaleEdges("rank", edges, 2))).toBe(0.5);
    expect(scaleEdges("rank", edges, 2)).toHaveLength(2);
  });
});

describe("a token's story", () => {
  it("names the strongest partners of both directions", () => {
    const { scene, choice } = graphOf({ weights: FULL });
    const [layer] = tellStory(scene, choice, 0, 0);
    expect(layer!.attendsTo[0]).toEqual({ token: 0, weight: 0.5 });
    expect(layer!.attendedBy[0]).toEqual({ token: 2, weight: 0.625 });
    expect(layer!.received).toBeCloseTo(1.25, 6);
    expect(layer!.residualShare).toBe(0.5);
  });

  it("has edges of this token only, with its residual and its part of the answers", () => {
    const { graph } = graphOf({ weights: FULL, parts: [[1, -0.5, 0.3]] });
    const story = storyEdges(graph, 0, 1);
    for (let n = 0; n < story.length; n++) expect([story.query[n], story.key[n]]).toContain(1);
    const kinds = [...story.kind.subarray(0, story.length)];
    expect(kinds).toContain(RESIDUAL);
    expect(kinds).toContain(ANSWER);
  });
});

describe("a pair of tokens", () => {
  it("has both weights, rank, lift and contribution", () => {
    const { scene } = graphOf({ weights: FULL, norms: [[2, 4, 8]] });
    const details = pairDetails(scene, { call: 0, head: 0, query: 2, key: 1 });
    expect(details).toMatchObject({ weight: 0.25, back: 0.125, rank: 2, visible: 3, lift: 0.75, contribution: 1 });
    expect(details.heads).toEqual([0.25]);
  });

  it("that was not kept is not captured, not 0", () => {
    const { scene } = graphOf({
      weights: FULL, top: { keys: [[[0], [1], [0]]], weights: [[[0.5], [0.75], [0.625]]], kept: [[0.5, 0.75, 0.625]] },
    });
    expect(pairDetails(scene, { call: 0, head: 0, query: 2, key: 1 }).weight).toBeNaN();
  });
});

it("beyond eight heads only the chosen have a hue", () => {
  const choice = { ...defaultChoice(12, "ring"), chosenHeads: new Set([3, 7]) };
  expect([3, 7, 5].map((head) => hueOfHead(choice, head, 12))).toEqual([0, 1, -1]);
  expect(hueOfHead(defaultChoice(8, "ring"), 5, 8)).toBe(5);
});
