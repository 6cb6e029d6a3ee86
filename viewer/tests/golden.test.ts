import { describe, expect, it } from "vitest";
import { decodeBase64 } from "../src/wire/inflate";
import { readScene } from "../src/wire/scene";

// Blocks that Python wrote once, and numbers that must be read from them; tests/view/test_golden.py reads them too.
const blocks = import.meta.glob<string>("../../tests/golden/*.block", { query: "?url&inline", import: "default", eager: true });
const written = import.meta.glob<{ tokens: string[]; calls: number; values: [string, number[], number][] }>(
  "../../tests/golden/*.json", { import: "default", eager: true });

const FIELDS: Record<string, "weight" | "key" | "visible" | "entropy" | "valueNorm" | "flow"> = {
  weight: "weight", key: "key", visible: "visible", entropy: "entropy", value_norm: "valueNorm", flow: "flow",
};
// What a stored weight may be off by, as src/headscape/view/scene.py says.
const ERRORS = { f32: 1e-7, sqrt_u16: 1.6e-5, sqrt_u8: 5e-4 };

describe("a golden scene", () => {
  it("is there in every way of storing weights", () => {
    expect(Object.keys(blocks).length).toBe(Object.keys(written).length);
    const codes = Object.values(blocks).map((url) => readScene(decodeBase64(url.split(",")[1]!)).calls[0]!.code);
    expect(new Set(codes)).toEqual(new Set(Object.keys(ERRORS)));
  });

  it.each(Object.keys(blocks))("%s reads as it was written", (path) => {
    const scene = readScene(decodeBase64(blocks[path]!.split(",")[1]!));
    const { tokens, calls, values } = written[path.replace(".block", ".json")]!;
    expect(scene.sides[0]!.tokens).toEqual(tokens);
    expect(scene.calls).toHaveLength(calls);
    expect(values.length).toBeGreaterThan(6);
    for (const [name, index, value] of values) {
      const [field, number] = name.split(".") as [string, string];
      const call = scene.calls[Number(number)]!;
      const shape = { weight: [call.queries, call.k ?? call.keys], key: [call.queries, call.k ?? 0], visible: [call.queries], entropy: [call.queries], value_norm: [call.keys], flow: [call.queries] }[field]!;
      const at = index.slice(1).reduce((sum, place, axis) => sum * shape[axis]! + place, index[0]!);
      const found = call[FIELDS[field]!]![at]!;
      expect(Math.abs(found - value)).toBeLessThanOrEqual(field === "weight" ? ERRORS[call.code] : 1e-6 * Math.abs(value));
    }
  });
});
