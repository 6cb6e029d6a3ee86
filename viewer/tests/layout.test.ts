import { describe, expect, it } from "vitest";
import { defaultChoice, type LayoutName, type ViewName } from "../src/scene/choice";
import { buildGraph } from "../src/scene/build";
import { Lanes } from "../src/scene/lanes";
import { buildCurves } from "../src/scene/curves";
import { gridPlaces, linePlaces, placeNodes, ringPlaces } from "../src/scene/layout";
import { indexNodes, nameNode, nodeOf } from "../src/scene/nodes";
import { orderEdges } from "../src/scene/prune";
import { pickEdge, pickNode, projectCurves } from "../src/scene/pick";
import { fitCamera, projectPoints } from "../src/maths/camera";
import { readScene } from "../src/wire/scene";
import { pack, smallScene } from "./blocks";

const WEIGHTS = [[[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]];

function sceneOf(padded: number[] = []) {
  const { arrays, meta } = smallScene({ weights: WEIGHTS, padded, parts: [[1, 2, 3], [3, 2, 1]] });
  return readScene(pack(arrays, meta));
}

describe("layouts", () => {
  it("ring: the first at the top, clockwise", () => {
    const [top, right, bottom, left] = ringPlaces(4);
    expect(top![1]).toBeCloseTo(1);
    expect(right![0]).toBeCloseTo(1);
    expect(bottom![1]).toBeCloseTo(-1);
    expect(left![0]).toBeCloseTo(-1);
  });

  it("a token alone stands in the middle of its ring", () => {
    expect(ringPlaces(1)).toEqual([[0, 0]]);
  });

  it("line: from top to bottom", () => {
    expect(linePlaces(3).map(([, y]) => y)).toEqual([1, 0, -1]);
    expect(linePlaces(1)).toEqual([[0, 0]]);
  });

  it("grid: patches as in their picture, others above them", () => {
    const tokens = ["[CLS]", "a", "b", "c", "d"];
    const places = gridPlaces({ grid: [1, 2, 2], tokens }, [0, 1, 2, 3, 4]);
    const [cls, a, b, c] = places;
    expect(cls![1]).toBeGreaterThan(a![1]);
    expect(b![0]).toBeGreaterThan(a![0]);
    expect(c![1]).toBeLessThan(a![1]);
    expect(c![0]).toBe(a![0]);
  });

  it.each<[ViewName, LayoutName]>([["3d", "ring"], ["3d", "line"], ["3d", "grid"], ["front", "ring"], ["layer", "ring"]])(
    "%s %s: the same every time, finite, and no two nodes of a plane in one place", (view, layout) => {
      const scene = sceneOf();
      const index = indexNodes(scene);
      const choice = { ...defaultChoice(1, layout), view };
      const places = placeNodes(scene, index, choice, 1.4);
      expect(placeNodes(scene, index, choice, 1.4).positions).toEqual(places.positions);
      const seen = new Set<string>();
      for (let token = 0; token < 3; token++) {
        const at = [...places.positions.subarray(3 * nodeOf(index, 0, 0, token), 3 * nodeOf(index, 0, 0, token) + 3)];
        expect(at.every(Number.isFinite)).toBe(true);
        seen.add(at.join(" "));
      }
      expect(seen.size).toBe(3);
    });

  it("padded tokens stand nowhere", () => {
    const scene = sceneOf([2]);
    const index = indexNodes(scene);
    const { positions } = placeNodes(scene, index, defaultChoice(1, "ring"), 1.4);
    expect(positions[3 * nodeOf(index, 0, 0, 2)]).toBeNaN();
    expect(positions[3 * nodeOf(index, 0, 0, 1)]).not.toBeNaN();
  });
});

it("nodes are numbered by side, plane and token, answers last", () => {
  const index = indexNodes(sceneOf());
  expect(nameNode(index, nodeOf(index, 0, 1, 2))).toEqual({ kind: "token", side: 0, plane: 1, token: 2 });
  expect(nameNode(index, index.firstAnswer + 1)).toEqual({ kind: "answer", answer: 1 });
  expect(index.count).toBe(2 * 3 + 2);
});

describe("picking", () => {
  const scene = sceneOf();
  const index = indexNodes(scene);
  const choice = { ...defaultChoice(1, "ring"), values: false };
  const places = placeNodes(scene, index, choice, 1.4);
  const order = orderEdges(buildGraph(scene, index, choice), "layer");
  const camera = fitCamera(places.positions, { yaw: 0.4, pitch: 0.3, lens: 7 }, 900, 700, { left: 20, right: 20, top: 20, bottom: 20 });

  it("finds each node where it is drawn", () => {
    const screen = projectPoints(places.positions, camera, 900, 700);
    const radii = new Float32Array(index.count).fill(3);
    for (let node = 0; node < index.count; node++) {
      expect(pickNode(screen, radii, screen[3 * node]! + 2, screen[3 * node + 1]! - 2)).toBe(node);
    }
    expect(pickNode(screen, radii, -500, -500)).toBe(-1);
  });

  it("finds an edge on its curve, and of two the stronger", () => {
    const curves = buildCurves(order.edges, order.edges.length, index, places, { layout: "ring", isStack: true, isStraight: false, lanes: new Lanes(order.edges, index.count, 1) });
    const flat = projectCurves(curves, order.edges.length, camera, 900, 700);
    for (let n = 0; n < order.edges.length; n++) {
      const c = flat.subarray(8 * n, 8 * n + 8);
      const at = (k: number) => (c[k]! + 3 * c[k + 2]! + 3 * c[k + 4]! + c[k + 6]!) / 8;
      expect(pickEdge(flat, at(0), at(1))).toBe(n);
    }
    const twice = new Float32Array([...flat.subarray(0, 8), ...flat.subarray(0, 8)]);
    const middle = (k: number) => (flat[k]! + 3 * flat[k + 2]! + 3 * flat[k + 4]! + flat[k + 6]!) / 8;
    expect(pickEdge(twice, middle(0), middle(1))).toBe(0);
  });
});
