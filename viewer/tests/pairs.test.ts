import { describe, expect, it } from "vitest";
import { defaultChoice, toggledHeads } from "../src/scene/choice";
import { neuronRow, products } from "../src/scene/neurons";
import { passes, secondSentence } from "../src/scene/segments";
import { HEADROOM, layHeads, realFrom, rowOf, tokenAt } from "../src/ui/centre/heads_layout";
import { readScene } from "../src/wire/scene";
import { pack, smallScene } from "./blocks";

describe("two sentences", () => {
  const none = (tokens: string[]) => new Uint8Array(tokens.length);
  it.each([
    [["[CLS]", "a", "b", "[SEP]", "c", "[SEP]"], 4],
    [["<s>", "a", "</s>", "</s>", "b", "</s>"], 3],
    [["<|endoftext|>", "a", "<|endoftext|>", "b"], 3],
    [["[CLS]", "a", "[SEP]"], -1],
    [["a", "b"], -1],
    [["[SEP]", "[SEP]"], -1],
    [[], -1],
  ])("%j: the second begins at %i", (tokens, second) => {
    expect(secondSentence(tokens, none(tokens))).toBe(second);
  });

  it("padding behind the only sentence is no second one", () => {
    expect(secondSentence(["a", "[SEP]", "x"], Uint8Array.from([0, 0, 1]))).toBe(-1);
  });

  it("each filter lets one quarter of the pairs through, and together all", () => {
    const pairs = [0, 1, 2, 3].flatMap((query) => [0, 1, 2, 3].map((key) => [query, key] as const));
    const through = (["aa", "ab", "ba", "bb"] as const).map((filter) => pairs.filter(([q, k]) => passes(filter, 2, q, k)));
    expect(through.map((found) => found.length)).toEqual([4, 4, 4, 4]);
    expect(through[1]).toContainEqual([0, 3]); // from A to B
    expect(new Set(through.flat().map(String)).size).toBe(16);
    expect(pairs.every(([q, k]) => passes("all", 2, q, k) && passes("bb", -1, q, k))).toBe(true);
  });
});

describe("the two columns", () => {
  const room = { width: 700, height: 500, label: 80, heads: 4, zoom: 1, scroll: 0 };
  it("hold all real tokens between the names and the lower end, whatever their number", () => {
    for (const count of [1, 12, 40, 512, 5000]) {
      const tokens = realFrom(new Uint8Array(count), 0);
      const layout = layHeads(tokens, tokens, room);
      for (const column of [layout.query, layout.key]) {
        const ys = tokens.map((token) => rowOf(layout, column, token));
        expect(ys[0]).toBeGreaterThanOrEqual(HEADROOM);
        expect(ys.at(-1)).toBeLessThan(500);
        expect(ys.every((y, n) => n === 0 || y > ys[n - 1]!)).toBe(true);
        for (const token of [0, count >> 1, count - 1]) expect(tokenAt(layout, column, rowOf(layout, column, token))).toBe(token);
      }
      expect(layout.query.x).toBeLessThan(layout.key.x);
      expect(layout.key.x + layout.label + 4 * layout.cell).toBeLessThanOrEqual(700);
    }
  });

  it("leave padding out and start at the first query of cached steps", () => {
    expect(realFrom(Uint8Array.from([0, 1, 0, 0, 1]), 0)).toEqual([0, 2, 3]);
    expect(realFrom(Uint8Array.from([0, 1, 0, 0, 1]), 3)).toEqual([3]);
    const layout = layHeads([3], [0, 2, 3], room);
    expect(rowOf(layout, layout.query, 0)).toBeNaN();
    expect(tokenAt(layout, layout.query, HEADROOM + 1)).toBe(3);
    expect(tokenAt(layout, layout.key, 499)).toBeNull();
    expect(tokenAt(layout, layout.key, HEADROOM - 1)).toBeNull();
  });

  it("scroll as far as they reach when zoomed, and no further", () => {
    const tokens = realFrom(new Uint8Array(100), 0);
    const near = layHeads(tokens, tokens, { ...room, zoom: 4, scroll: 1e9 });
    expect(near.reach).toBeGreaterThan(0);
    expect(rowOf(near, near.key, 99)).toBeLessThan(500);
    expect(rowOf(near, near.key, 99)).toBeGreaterThan(400);
    expect(layHeads(tokens, tokens, { ...room, scroll: 50 }).top).toBe(HEADROOM);
  });
});

describe("a click on a head", () => {
  it("shows or hides one of few, but never the last", () => {
    const choice = defaultChoice(2, "ring");
    expect([...toggledHeads(choice, 0, 2).chosenHeads!]).toEqual([1]);
    expect(toggledHeads({ ...choice, chosenHeads: new Set([1]) }, 1, 2)).toEqual({});
  });
  it("colours up to eight of many", () => {
    const choice = { ...defaultChoice(12, "ring"), chosenHeads: new Set([0, 1, 2, 3, 4, 5, 6, 7]) };
    expect(toggledHeads(choice, 9, 12).chosenHeads!.has(9)).toBe(false);
    expect(toggledHeads({ ...choice, chosenHeads: new Set([3]) }, 9, 12).chosenHeads).toEqual(new Set([3, 9]));
  });
});

const WIDTH = 3;
const QUERY = [[0.5, -1, 2], [1, 0, -0.5]];
const KEY = [[1, 2, 0.25], [-1, 0.5, 1]];
const SCALE = 0.7;

/** Weights by hand: exp of scaled products, each row divided by its sum; the first query sees the first key only. */
function made(change: { scale?: number; bias?: number; said?: Record<string, unknown> } = {}) {
  const score = (q: number, k: number) => SCALE * QUERY[q]!.reduce((sum, value, d) => sum + value * KEY[k]![d]!, 0);
  const [a, b] = [Math.exp(score(1, 0)), Math.exp(score(1, 1) + (change.bias ?? 0))];
  const { arrays, meta } = smallScene({ weights: [[[1, 0], [a / (a + b), b / (a + b)]]] });
  arrays["query_vector.0"] = { shape: [1, 2, WIDTH], data: Float32Array.from(QUERY.flat()) };
  arrays["key_vector.0"] = { shape: [1, 2, WIDTH], data: Float32Array.from(KEY.flat()) };
  Object.assign(meta["calls"][0], { width: WIDTH, scale: SCALE, ...change.said });
  return { arrays, meta, score };
}

describe("query and key vectors", () => {
  const read = (made: { arrays: Parameters<typeof pack>[0]; meta: unknown }) => readScene(pack(made.arrays, made.meta)).calls[0]!;

  it("give scores whose softmax is the weights, over the keys that the query sees", () => {
    const one = made();
    const call = read(one);
    const row = neuronRow(call, call.vectors!, 0, 1);
    expect(row.keys).toEqual([0, 1]);
    expect(row.score[0]).toBeCloseTo(one.score(1, 0), 6);
    expect(row.score[1]).toBeCloseTo(one.score(1, 1), 6);
    expect(row.gap).toBeLessThan(1e-6);
    expect(neuronRow(call, call.vectors!, 0, 0)).toMatchObject({ keys: [0], gap: 0 });
  });

  it("have parts that add up to the score", () => {
    const call = read(made());
    const parts = products(call.vectors!, call, 0, 1, 1);
    expect(parts).toHaveLength(WIDTH);
    expect(parts[2]).toBeCloseTo(SCALE * -0.5, 6);
    expect(parts.reduce((sum, part) => sum + part, 0)).toBeCloseTo(neuronRow(call, call.vectors!, 0, 1).score[1]!, 12);
  });

  it("are known not to explain weights to which a bias was added", () => {
    const call = read(made({ bias: 1 }));
    expect(neuronRow(call, call.vectors!, 0, 1).gap).toBeGreaterThan(0.05);
  });

  it("leave a key without a vector out of the softmax", () => {
    const one = made();
    (one.arrays["key_vector.0"]!.data as Float32Array).fill(Number.NaN, 0, WIDTH);
    const call = read(one);
    const row = neuronRow(call, call.vectors!, 0, 1);
    expect(row.score[0]).toBeNaN();
    expect(row.gap).toBeLessThan(1e-6); // one key shares out what it holds
  });

  it("read 16-bit codes within half a step, and the last code as none", () => {
    const one = made({ said: { query_largest: 2, key_largest: 2 } });
    const code = (values: number[]) => Uint16Array.from(values, (value) => Math.round((value / 2 + 1) * 32767));
    one.arrays["query_vector.0"]!.data = code(QUERY.flat());
    one.arrays["key_vector.0"]!.data = code(KEY.flat());
    (one.arrays["key_vector.0"]!.data as Uint16Array)[0] = 65535;
    const { vectors } = read(one);
    expect(vectors!.isExact).toBe(false);
    QUERY.flat().forEach((value, n) => expect(Math.abs(vectors!.query[n]! - value)).toBeLessThanOrEqual(2 / 65534 + 1e-7));
    expect(vectors!.key[0]).toBeNaN();
  });

  it("are not there where the page has none, and refused where they do not fit", () => {
    const { arrays, meta } = smallScene({ weights: [[[1]]] });
    expect(read({ arrays, meta }).vectors).toBeNull();
    const short = made();
    short.arrays["key_vector.0"]!.shape = [1, 1, WIDTH];
    short.arrays["key_vector.0"]!.data = new Float32Array(WIDTH);
    expect(() => read(short)).toThrow(/key_vector\.0/);
    expect(() => read(made({ said: { width: 0 } }))).toThrow(/width/);
    expect(read(made({ said: { scale: "a" } })).vectors!.scale).toBeNull();
  });
});
