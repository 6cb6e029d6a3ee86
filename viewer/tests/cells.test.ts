import { describe, expect, it } from "vitest";
import { cellAt, cellsOf, MASKED, pool, UNKNOWN } from "../src/scene/cells";
import { headFacts, orderHeads } from "../src/scene/measures";
import { differenceScene } from "../src/scene/difference";
import { readScene } from "../src/wire/scene";
import { pack, smallScene, type SmallScene } from "./blocks";

function sceneOf(scene: SmallScene, measures?: number[][]) {
  const { arrays, meta } = smallScene(scene);
  if (measures) arrays["measures.0"] = { shape: [4, scene.weights.length], data: Float32Array.from(measures.flat()) };
  return readScene(pack(arrays, meta));
}

function cellsOfHead(scene: SmallScene, head = 0) {
  const read = sceneOf(scene);
  return cellsOf(read, read.calls[0]!, head);
}

function poolAll(scene: SmallScene, width: number, height: number): number[] {
  const cells = cellsOfHead(scene);
  const box = { top: 0, left: 0, bottom: cells.rows.length, right: cells.columns.length };
  return Array.from(pool(cells, box, width, height).cells, (value) => Math.round(value * 1e6) / 1e6);
}

const CAUSAL = [[[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.5, 0], [0.1, 0.2, 0.3, 0.4]]];

describe("a cell", () => {
  it("without a weight is masked where the row has as many weights as it sees keys", () => {
    expect(poolAll({ weights: CAUSAL }, 4, 4)).toEqual([1, -1, -1, -1, 0.5, 0.5, -1, -1, 0.25, 0.25, 0.5, -1, 0.1, 0.2, 0.3, 0.4]);
  });

  it("that the row sees and whose weight is 0 is a 0, not masked", () => {
    const weights = [[[1, 0, 0], [1, 0, 0], [0.5, 0, 0.5]]];
    const cells = cellsOfHead({ weights, visible: [[1, 2, 3]] });
    expect([0, 1, 2].map((key) => cellAt(cells, 1, key))).toEqual([1, 0, MASKED]);
    expect(cellAt(cells, 2, 1)).toBe(0);
    expect(poolAll({ weights, visible: [[1, 2, 3]] }, 3, 3)).toEqual([1, -1, -1, 1, 0, -1, 0.5, 0, 0.5]);
  });

  it("that a top-k capture left out is unknown, and behind a causal row's own token masked", () => {
    const scene: SmallScene = {
      weights: CAUSAL, visible: [[1, 2, 3, 4]],
      top: { keys: [[[0], [0], [2], [3]]], weights: [[[1], [0.5], [0.5], [0.4]]], kept: [[1, 0.5, 0.5, 0.4]] },
    };
    expect(poolAll(scene, 4, 4)).toEqual([1, -1, -1, -1, 0.5, -2, -1, -1, -2, -2, 0.5, -1, -2, -2, -2, 0.4]);
    const cells = cellsOfHead(scene);
    expect([0, 1, 2, 3].map((key) => cellAt(cells, 2, key))).toEqual([UNKNOWN, UNKNOWN, expect.closeTo(0.5), MASKED]);
  });

  it("is not taken for masked where a weight stands behind the row's own token", () => {
    const weights = [[[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]];
    expect(poolAll({ weights, visible: [[1, 2, 3]] }, 3, 3)).toEqual([0.5, 0.5, -1, -1, 0.5, 0.5, 0.5, 0, 0.5]);
  });

  it("of padding has no place", () => {
    const weights = [[[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0]]];
    const cells = cellsOfHead({ weights, padded: [2], visible: [[2, 2, 0]] });
    expect([cells.rows, cells.columns]).toEqual([[0, 1], [0, 1]]);
    expect(poolAll({ weights, padded: [2], visible: [[2, 2, 0]] }, 9, 9)).toEqual([0.5, 0.5, 0.5, 0.5]);
  });

  it("of a row that holds NaN is blank", () => {
    const { arrays, meta } = smallScene({ weights: [[[0, 0], [0.5, 0.5]]], visible: [[2, 2]] });
    arrays["entropy.0"]!.data.set([Number.NaN, 1]);
    const scene = readScene(pack(arrays, meta));
    const cells = cellsOf(scene, scene.calls[0]!, 0);
    expect([0, 1].map((key) => cellAt(cells, 0, key))).toEqual([MASKED, MASKED]);
  });
});

describe("pooling", () => {
  it("keeps the largest weight of each block", () => {
    const size = 37;
    const weights = [Array.from({ length: size }, (_, q) => Array.from({ length: size }, (_, k) => ((q * 31 + k * 17) % 101) / 5000 + 1e-4))];
    const cells = poolAll({ weights }, 5, 4);
    for (let y = 0; y < 4; y++) for (let x = 0; x < 5; x++) {
      let most = 0;
      for (let q = 0; q < size; q++) for (let k = 0; k < size; k++) {
        if (Math.floor((q * 4) / size) === y && Math.floor((k * 5) / size) === x) most = Math.max(most, weights[0]![q]![k]!);
      }
      expect(cells[5 * y + x]).toBeCloseTo(most, 5);
    }
  });

  it("lets one bright cell among thousands be seen", () => {
    const size = 200;
    const weights = [Array.from({ length: size }, (_, q) => Array.from({ length: size }, (_, k) => (q === 123 && k === 77 ? 0.9 : 1e-4)))];
    expect(poolAll({ weights }, 10, 10)[10 * 6 + 3]).toBeCloseTo(0.9, 5);
  });

  it("shows part of a head as its own cells", () => {
    const cells = cellsOfHead({ weights: CAUSAL });
    const part = pool(cells, { top: 2, bottom: 4, left: 1, right: 4 }, 99, 99);
    expect([part.width, part.height]).toEqual([3, 2]);
    expect(Array.from(part.cells)).toEqual([0.25, 0.5, -1, 0.2, 0.3, 0.4].map((w) => expect.closeTo(w, 6)));
  });

  it("gives the sign of the largest change", () => {
    const before = sceneOf({ weights: [[[0.9, 0.1], [0.5, 0.5]]] });
    const after = sceneOf({ weights: [[[0.2, 0.8], [0.6, 0.4]]] });
    const scene = differenceScene(before, after);
    const cells = cellsOf(scene, scene.calls[0]!, 0);
    const one = pool(cells, { top: 0, left: 0, bottom: 2, right: 2 }, 1, 2);
    expect(Array.from(one.cells)).toEqual([expect.closeTo(0.7), expect.closeTo(0.1)]);
    const all = pool(cells, { top: 0, left: 0, bottom: 2, right: 2 }, 2, 2);
    expect(Array.from(all.sign!)).toEqual([-1, 1, 1, -1]);
  });
});

describe("orders of heads", () => {
  const uniform = [[0.5, 0.5], [0.5, 0.5]];
  const scene = () => sceneOf({ weights: [uniform, [[1, 0], [0.3, 0.7]], uniform] }, [[1, 0.4, 1], [0.1, 0.2, 0.3], [0.5, 0.9, 0.5], [Number.NaN, 2, 1]]);
  const heads = (order: "layer" | "entropy" | "sink" | "contribution") =>
    orderHeads(headFacts(scene()), { order, ranked: "all" }, false).map((one) => one.head);

  it("put the largest first, equals in their own order and what is not known last", () => {
    expect(heads("layer")).toEqual([0, 1, 2]);
    expect(heads("entropy")).toEqual([0, 2, 1]);
    expect(heads("sink")).toEqual([1, 0, 2]);
    expect(heads("contribution")).toEqual([1, 2, 0]);
  });

  it("tell uniform heads", () => {
    expect(headFacts(scene()).map((one) => one.isUniform)).toEqual([true, false, true]);
  });

  it("stay within their layers or not", () => {
    const facts = headFacts(scene());
    const two = [...facts, ...facts.map((one) => ({ ...one, call: 1 }))];
    const places = (ranked: "layers" | "all") => orderHeads(two, { order: "sink", ranked }, false).map((one) => `${one.call}.${one.head}`);
    expect(places("layers")).toEqual(["0.1", "0.0", "0.2", "1.1", "1.0", "1.2"]);
    expect(places("all")).toEqual(["0.1", "1.1", "0.0", "0.2", "1.0", "1.2"]);
  });

  it("of a comparison go by the size of the change, worked out by hand", () => {
    const before = sceneOf({ weights: [[[0.9, 0.1], [0.5, 0.5]], uniform] }, [[1, 2], [1, 1], [0, 0], [0, 0]]);
    const after = sceneOf({ weights: [[[0.2, 0.8], [0.6, 0.4]], uniform] }, [[0.5, 2.25], [1, 1], [0, 0], [0, 0]]);
    const facts = headFacts(differenceScene(before, after));
    expect(facts.map((one) => one.values.change)).toEqual([expect.closeTo((0.7 + 0.1) / 2), 0]); // half of 1.4, half of 0.2
    expect(facts.map((one) => one.values.entropy)).toEqual([-0.5, 0.25]);
    expect(orderHeads([...facts].reverse(), { order: "entropy", ranked: "all" }, true).map((one) => one.head)).toEqual([0, 1]);
    expect(facts[0]!.largest).toBeCloseTo(0.7);
  });
});
