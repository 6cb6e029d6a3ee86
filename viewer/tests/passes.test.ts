import { describe, expect, it } from "vitest";
import { differenceScene, whyIncomparable } from "../src/scene/difference";
import { firstRow, joinPasses, reserve } from "../src/scene/growth";
import { linePlaces, planePlaces } from "../src/scene/layout";
import { readScene, type SceneData } from "../src/wire/scene";
import { pack, smallScene, type SmallScene } from "./blocks";

function sceneOf(small: SmallScene): SceneData {
  const { arrays, meta } = smallScene(small);
  return readScene(pack(arrays, meta));
}

// A causal head over four tokens; its last two rows are computed by later passes.
const ROWS = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.5, 0], [0.1, 0.2, 0.3, 0.4]];
const head = (from: number, to: number) => [ROWS.slice(from, to).map((row) => row.slice(0, to))];
const words = (count: number) => ["a", "b", "c", "d"].slice(0, count);

describe("a generation with a cache", () => {
  const passes = [
    sceneOf({ weights: head(0, 2), tokens: words(2) }),
    sceneOf({ weights: head(2, 3), tokens: words(3) }),
    sceneOf({ weights: head(3, 4), tokens: words(4) }),
  ];

  it("knows which rows a pass lacks", () => {
    expect(passes.map(firstRow)).toEqual([0, 2, 3]);
  });

  it("joined, is the pass that reads all tokens at once", () => {
    const whole = sceneOf({ weights: [ROWS], tokens: words(4) });
    const joined = joinPasses(passes).calls[0]!;
    expect([...joined.weight.slice(0, 4)]).toEqual([1, 0, 0, 0]); // the first pass had two keys: no weight moved
    expect([...joined.weight]).toEqual([...whole.calls[0]!.weight]);
    expect([...joined.visible]).toEqual([...whole.calls[0]!.visible]);
    expect(joined.queries).toBe(4);
    expect(firstRow(joinPasses(passes))).toBe(0);
  });

  it("joined, has the means over all its rows as measures", () => {
    const measured = passes.map((pass, n) => ({
      ...pass, calls: pass.calls.map((call) => ({ ...call, measures: Float32Array.of(n, 10 * n, Number.NaN, 1) })),
    }));
    const [entropy, distance, sink, contribution] = joinPasses(measured).calls[0]!.measures!;
    expect([entropy, distance, contribution]).toEqual([(0 * 2 + 1 + 2) / 4, (0 * 2 + 10 + 20) / 4, 1]); // of 2, 1 and 1 rows
    expect(sink).toBeNaN();
    expect(joinPasses(passes).calls[0]!.measures).toBeNull();
  });

  it("joined from top-k passes, keeps each row's keys and shares", () => {
    const top = (keys: number[][], weights: number[][], kept: number[], from: number, to: number) =>
      sceneOf({ weights: head(from, to), tokens: words(to), top: { keys: [keys], weights: [weights], kept: [kept] } });
    const joined = joinPasses([
      top([[0, -1], [0, 1]], [[1, 0], [0.5, 0.5]], [1, 1], 0, 2),
      top([[2], [0]].slice(0, 1), [[0.5]], [0.5], 2, 3),
      top([[3, 2]], [[0.4, 0.3]], [0.7], 3, 4),
    ]).calls[0]!;
    expect([...joined.key!]).toEqual([0, -1, 0, 1, 2, -1, 3, 2]);
    expect([...joined.kept!].map((share) => share.toFixed(1))).toEqual(["1.0", "1.0", "0.5", "0.7"]);
    expect(joined.k).toBe(2);
  });

  it("joined, has every pass's query vectors head by head, and the newest keys", () => {
    const withVectors = (from: number, to: number, scale: number | null = 1) => {
      const { arrays, meta } = smallScene({ weights: [head(from, to)[0]!, head(from, to)[0]!], tokens: words(to) });
      const count = (length: number, first: number) => Float32Array.from({ length: 2 * length }, (_, n) => 100 * Math.floor(n / length) + first + (n % length));
      if (scale === null) return readScene(pack(arrays, meta));
      arrays["query_vector.0"] = { shape: [2, to - from, 1], data: count(to - from, from) };
      arrays["key_vector.0"] = { shape: [2, to, 1], data: count(to, 0) };
      Object.assign(meta["calls"][0], { width: 1, scale });
      return readScene(pack(arrays, meta));
    };
    const { vectors } = joinPasses([withVectors(0, 2), withVectors(2, 3), withVectors(3, 4)]).calls[0]!;
    expect([...vectors!.query]).toEqual([0, 1, 2, 3, 100, 101, 102, 103]);
    expect([...vectors!.key]).toEqual([0, 1, 2, 3, 100, 101, 102, 103]);
    expect(joinPasses([withVectors(0, 2, 2), withVectors(2, 3)]).calls[0]!.vectors).toBeNull();
    expect(joinPasses([withVectors(0, 2, null), withVectors(2, 3)]).calls[0]!.vectors).toBeNull();
  });

  it("leaves room for the tokens to come: a token never moves", () => {
    const sides = reserve(passes[0]!.sides, [4]);
    const { places, rest } = planePlaces("line", sides[0]!);
    expect(places).toEqual(linePlaces(4).slice(0, 2));
    expect(rest).toEqual(linePlaces(4).slice(2));
    expect(planePlaces("ring", sides[0]!).places[1]![0]).toBeCloseTo(1); // a quarter of the circle
  });
});

describe("the difference of two passes", () => {
  const before = sceneOf({ weights: [[[0.5, 0.5], [0.9, 0.1]]], tokens: ["a", "b"], parts: [[1, 2]] });
  const after = sceneOf({ weights: [[[0.25, 0.75], [0.9, 0.1]]], tokens: ["a", "b"], parts: [[4, 1]] });
  const change = differenceScene(before, after);

  it("is the size of each change, with its sign", () => {
    expect([...change.calls[0]!.weight]).toEqual([0.25, 0.25, 0, 0]);
    expect([...change.calls[0]!.sign!]).toEqual([-1, 1, 0, 0]);
    expect(after.calls[0]!.sign).toBeNull();
  });

  it("of the answer's parts keeps its sign", () => {
    expect([...change.outputs!.contribution!]).toEqual([3, -1]);
  });

  it("of top-k passes leaves out pairs that one of them did not keep", () => {
    const top = (keys: number[][], weights: number[][]) => sceneOf({
      weights: [[[0.6, 0.4, 0], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]], tokens: ["a", "b", "c"], visible: [[3, 3, 3]],
      top: { keys: [keys], weights: [weights], kept: [[0.9, 0.5, 0.5]] },
    });
    const old = top([[0, 1], [0, -1], [2, -1]], [[0.6, 0.4], [0.5, 0], [0.5, 0]]);
    const now = top([[1, 0], [1, -1], [2, -1]], [[0.7, 0.3], [0.6, 0], [0.25, 0]]);
    const call = differenceScene(old, now).calls[0]!;
    const found = [...call.weight].map((w, n) => [call.key![n], w * call.sign![n]!]).filter(([, w]) => w !== 0);
    expect(found.map(([key, w]) => [key, w!.toFixed(2)])).toEqual([[0, "-0.30"], [1, "0.30"], [2, "-0.25"]]);
  });

  it("is refused in a sentence where tokens or layers differ", () => {
    expect(whyIncomparable(before, after)).toBeNull();
    const other = sceneOf({ weights: [[[0.5, 0.5], [0.9, 0.1]]], tokens: ["a", "c"] });
    expect(whyIncomparable(before, other)).toMatch(/tokens/);
    const more = sceneOf({ weights: [[[0.5, 0.5], [0.9, 0.1]], [[0.5, 0.5], [0.9, 0.1]]], tokens: ["a", "b"] });
    expect(whyIncomparable(before, more)).toMatch(/heads/);
  });
});
