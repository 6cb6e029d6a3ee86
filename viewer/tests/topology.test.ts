import { describe, expect, it } from "vitest";
import { componentsAt, cycleRankAt, spanTokens, STEPS, thresholdOf, topologyOf, type Topology } from "../src/scene/topology";
import { readScene } from "../src/wire/scene";
import { pack, smallScene, type SmallScene } from "./blocks";

const S = 6;
const matrix = (cell: (i: number, j: number) => number, size = S) => Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => cell(i, j)));

function of(weights: number[][], more: Partial<SmallScene> = {}): Topology | string {
  const { arrays, meta } = smallScene({ weights: [weights], ...more });
  const scene = readScene(pack(arrays, meta));
  return topologyOf(scene, scene.calls[0]!, 0);
}

function found(weights: number[][], more?: Partial<SmallScene>): Topology {
  const topology = of(weights, more);
  if (typeof topology === "string") throw new Error(topology);
  return topology;
}

const deaths = (topology: Topology) => [...topology.joins].map((w) => 1 - w);
const close = (values: readonly number[], wanted: readonly number[]) => {
  expect(values).toHaveLength(wanted.length);
  values.forEach((value, n) => expect(value).toBeCloseTo(wanted[n]!, 6));
};

describe("H0 bars that are known beforehand", () => {
  it.each([
    ["uniform: S - 1 bars of 1 - 1/S", matrix(() => 1 / S), Array(S - 1).fill(1 - 1 / S)],
    ["identity: S - 1 bars of 1", matrix((i, j) => Number(i === j)), Array(S - 1).fill(1)],
    ["all on the first token: S - 1 bars of 0", matrix((_, j) => Number(j === 0)), Array(S - 1).fill(0)],
    ["cyclic: S - 1 bars of 0", matrix((i, j) => Number(j === (i + 1) % S)), Array(S - 1).fill(0)],
    ["two even blocks: S - 2 bars of 1 - 2/S, and one of 1", matrix((i, j) => (i < S / 2 === j < S / 2 ? 2 / S : 0)), [...Array(S - 2).fill(1 - 2 / S), 1]],
  ])("%s", (_, weights, wanted) => {
    const topology = found(weights);
    close(deaths(topology), wanted);
    expect(topology.deathSum).toBeCloseTo(wanted.reduce((sum, death) => sum + death, 0), 6);
  });
});

describe("cycle rank", () => {
  it("of the cycle is 1 from the first threshold on, of the star 0, of all pairs (S - 1)(S - 2)/2", () => {
    const [cycle, star, all] = [matrix((i, j) => Number(j === (i + 1) % S)), matrix((_, j) => Number(j === 0)), matrix(() => 1 / S)].map((one) => found(one)) as [Topology, Topology, Topology];
    for (const step of [STEPS, STEPS / 2, 1]) {
      expect([componentsAt(cycle, step), cycleRankAt(cycle, step)]).toEqual([1, 1]);
      expect([componentsAt(star, step), cycleRankAt(star, step)]).toEqual([1, 0]);
    }
    expect([componentsAt(all, STEPS), cycleRankAt(all, STEPS)]).toEqual([S, 0]);
    expect([componentsAt(all, 1), cycleRankAt(all, 1)]).toEqual([1, ((S - 1) * (S - 2)) / 2]);
  });

  it("and components are those of a search through the graph, at every threshold", () => {
    let seed = 7;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (const size of [1, 2, 3, 9, 17]) {
      const w = matrix(() => Math.fround(random() ** 3), size);
      const symmetric = matrix((i, j) => Math.max(w[i]![j]!, w[j]![i]!), size);
      const topology = spanTokens(size, (i, j) => symmetric[i]![j]!);
      expect(topology.joins).toHaveLength(size - 1);
      for (let step = 0; step <= STEPS; step++) {
        const [components, edges] = search(symmetric, thresholdOf(step));
        expect(componentsAt(topology, step)).toBe(components);
        expect(cycleRankAt(topology, step)).toBe(edges - size + components);
      }
    }
  });

  it("counts a weight at the threshold as an edge", () => {
    const at = 0.25; // step 64: exact
    expect(spanTokens(2, () => at).pairs[64]).toBe(1);
    expect(spanTokens(2, () => at).pairs[65]).toBe(0);
    expect(spanTokens(2, () => at - 1e-9).pairs[64]).toBe(0);
  });
});

/** Components and edges of a graph, found by walking it. */
function search(weights: number[][], limit: number): [number, number] {
  const seen = new Set<number>();
  let [components, edges] = [0, 0];
  weights.forEach((row, i) => row.forEach((w, j) => { if (i < j && w >= limit) edges++; }));
  for (let first = 0; first < weights.length; first++) {
    if (seen.has(first)) continue;
    components++;
    const open = [first];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      weights[at]!.forEach((w, j) => { if (j !== at && w >= limit) open.push(j); });
    }
  }
  return [components, edges];
}

it("leaves padding out", () => {
  const weights = matrix((i, j) => (i < 4 && j < 4 ? 1 / 4 : 0));
  const topology = found(weights, { padded: [4, 5], visible: [[4, 4, 4, 4, 0, 0]] });
  expect(topology.tokens).toBe(4);
  close(deaths(topology), Array(3).fill(0.75));
});

describe("says why there is none", () => {
  it("where weights were dropped, and how to have them", () => {
    const top = { keys: [[[0, 1], [0, 1], [0, 2]]], weights: [[[0.5, 0.3], [0.5, 0.3], [0.5, 0.3]]], kept: [[0.8, 0.8, 0.8]] };
    expect(of(matrix(() => 1 / 3, 3), { top, visible: [[3, 3, 3]] })).toMatch(/top 2 keys.*lower bound.*keep="all"/);
  });

  it("but takes a top-k capture that dropped nothing", () => {
    const top = { keys: [[[0, -1], [0, 1], [2, 0]]], weights: [[[1, 0], [0.5, 0.5], [0.75, 0.25]]], kept: [[1, 1, 1]] };
    close(deaths(found(matrix(() => 1 / 3, 3), { top, visible: [[1, 2, 2]], said: { is_whole: true } })), [0.5, 0.75]);
  });

  it("where rows hold NaN", () => {
    expect(of(matrix(() => 1 / S), { said: { nan_rows: 2 } })).toBe("2 rows of this layer hold NaN");
  });
});
