import { describe, expect, it } from "vitest";
import { readBlock } from "../src/wire/block";
import { FormatFault } from "../src/wire/fault";
import { decodeBase64, gunzip } from "../src/wire/inflate";
import { readPage } from "../src/wire/page";
import { readScene } from "../src/wire/scene";
import { pack, smallScene, type Arrays } from "./blocks";

const FLOATS: Arrays = { a: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }, b: { shape: [3], data: Uint8Array.of(7, 8, 9) } };

describe("a block", () => {
  it("gives back what was packed", () => {
    const block = readBlock(pack(FLOATS, { kind: "x" }));
    expect([...block.arrays.get("a")!.data]).toEqual([1, 2, 3, 4]);
    expect([...block.arrays.get("b")!.data]).toEqual([7, 8, 9]);
    expect(block.meta).toEqual({ kind: "x" });
  });

  it("is read from any place in memory, aligned or not", () => {
    const bytes = pack(FLOATS, {});
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect([...readBlock(shifted.subarray(3)).arrays.get("a")!.data]).toEqual([1, 2, 3, 4]);
  });

  it.each([
    ["short", new Uint8Array(3), "3 bytes"],
    ["a header longer than the file", Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 0, 1), "claims a header"],
    ["a header of 2^63 bytes", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128, 1), "claims a header"],
    ["no JSON", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 123, 123), "not JSON"],
    ["no UTF-8", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 255, 254), "not UTF-8"],
    ["a list", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 91, 93), "not a JSON object"],
  ])("that is %s is refused", (_, bytes, says) => {
    expect(() => readBlock(bytes)).toThrow(FormatFault);
    expect(() => readBlock(bytes)).toThrow(says);
  });

  it.each<[string, (h: Record<string, any>) => void, string]>([
    ["offsets beyond the data", (h) => { h["a"].data_offsets = [0, 99]; }, "claims bytes 0 to 99"],
    ["offsets beyond the data that fit their shape", (h) => { h["a"].shape = [25]; h["a"].data_offsets = [0, 100]; }, "claims bytes 0 to 100"],
    ["negative offsets", (h) => { h["a"].data_offsets = [-16, 0]; }, "claims bytes -16"],
    ["a shape that does not fit", (h) => { h["a"].shape = [2, 3]; }, "of shape 2 x 3"],
    ["a shape that overflows", (h) => { h["a"].shape = [2 ** 40, 2 ** 40]; }, "claims bytes"],
    ["a fraction as shape", (h) => { h["a"].shape = [1.5]; }, "whole numbers"],
    ["an unknown dtype", (h) => { h["a"].dtype = "I64"; }, "I64"],
    ["a dtype from the prototype", (h) => { h["a"].dtype = "constructor"; }, "constructor"],
    ["overlapping arrays", (h) => { h["b"].data_offsets = [13, 16]; }, "overlap or leave a gap"],
    ["a gap", (h) => { delete h["a"]; }, "overlap or leave a gap"],
    ["no description", (h) => { delete h["__metadata__"]; }, "some other safetensors file"],
    ["a broken description", (h) => { h["__metadata__"].headscape = "{"; }, "description is not JSON"],
  ])("with %s is refused", (_, change, says) => {
    expect(() => readBlock(pack(FLOATS, {}, change))).toThrow(says);
  });

  it("that is cut off is refused", () => {
    const bytes = pack(FLOATS, {});
    expect(() => readBlock(bytes.subarray(0, bytes.length - 1))).toThrow(FormatFault);
  });
});

describe("a page", () => {
  const frames = { "frame.0": { shape: [3], data: Uint8Array.of(1, 2, 3) } };
  const meta = { format: 1, kind: "page", title: "T", frames: [{ label: "one", group: "step", number: 4, array: "frame.0" }] };

  it("lists its frames without unpacking them", () => {
    const page = readPage(pack(frames, meta));
    expect(page.frames[0]).toMatchObject({ label: "one", group: "step", number: 4 });
    expect([...page.frames[0]!.bytes]).toEqual([1, 2, 3]);
  });

  it.each([
    [{ ...meta, format: 2 }, "this viewer reads format 1"],
    [{ ...meta, kind: "scene" }, "a page block is needed"],
    [{ ...meta, frames: [] }, "no frames"],
    [{ ...meta, frames: [{ array: "frame.9" }] }, "names no array"],
  ])("that is of another kind is refused and says why", (wrong, says) => {
    expect(() => readPage(pack(frames, wrong))).toThrow(says);
  });
});

describe("a scene", () => {
  const small = () => smallScene({ weights: [[[0.25, 0.75], [1, 0]]], norms: [[2, 4]], tokens: ["</script>", ""] });

  it("keeps texts as they are and weights as they were", () => {
    const { arrays, meta } = small();
    const scene = readScene(pack(arrays, meta));
    expect(scene.sides[0]!.tokens).toEqual(["</script>", ""]);
    expect([...scene.calls[0]!.weight]).toEqual([0.25, 0.75, 1, 0]);
  });

  it("undoes 16-bit codes of square roots", () => {
    const { arrays, meta } = small();
    arrays["weight.0"] = { shape: [1, 2, 2], data: Uint16Array.of(0, 65535, 32768, 6554) };
    meta["calls"][0].code = "sqrt_u16";
    const [zero, one, quarter, hundredth] = readScene(pack(arrays, meta)).calls[0]!.weight;
    expect([zero, one]).toEqual([0, 1]);
    expect(quarter).toBeCloseTo(0.25, 4);
    expect(hundredth).toBeCloseTo(0.01, 4);
  });

  it("undoes bytes of square roots, the strong of which stand apart", () => {
    const { arrays, meta } = small();
    arrays["weight.0"] = { shape: [1, 2, 2], data: Uint8Array.of(0, 255, 64, 255) };
    arrays["strong.0"] = { shape: [2], data: Uint16Array.of(65535, 32768) };
    meta["calls"][0].code = "sqrt_u8";
    const [none, one, weak, quarter] = readScene(pack(arrays, meta)).calls[0]!.weight;
    expect([none, one, weak]).toEqual([0, 1, 1 / 64]);
    expect(quarter).toBeCloseTo(0.25, 4);
    arrays["strong.0"]!.shape = [3];
    arrays["strong.0"]!.data = Uint16Array.of(1, 2, 3);
    expect(() => readScene(pack(arrays, meta))).toThrow("3 strong weights, but its codes name 2");
  });

  it("makes nothing of NaN and negative weights", () => {
    const { arrays, meta } = small();
    arrays["weight.0"]!.data.set([Number.NaN, -1, Infinity, 0.5]);
    expect([...readScene(pack(arrays, meta)).calls[0]!.weight]).toEqual([0, 0, 0, 0.5]);
  });

  it.each<[string, (a: Arrays, m: Record<string, any>) => void, string]>([
    ["weights of another shape", (a) => { a["weight.0"]!.shape = [2, 2, 1]; }, "weight.0"],
    ["weights of another type", (a) => { a["weight.0"] = { shape: [1, 2, 2], data: new Int32Array(4) }; }, "Float32Array"],
    ["no weights", (a) => { delete a["weight.0"]; }, "lacks the array weight.0"],
    ["a side that is not there", (_, m) => { m["calls"][0].key_side = 3; }, "a side that is not there"],
    ["a plane that is not there", (_, m) => { m["calls"][0].plane = 1; }, "2 planes"],
    ["more keys than tokens", (_, m) => { m["sides"][0].tokens = ["a"]; }, "more than its sides have tokens"],
    ["a padded token that is not there", (_, m) => { m["sides"][0].padded = [9]; }, "padded token"],
    ["too many nodes", (_, m) => { m["sides"][0] = { name: "x", tokens: Array(100).fill("x"), planes: 20_000 }; }, "nodes"],
    ["too many planes of no tokens", (_, m) => { m["sides"].push({ name: "x", tokens: [], planes: 900_000 }); }, "number of planes"],
    ["too many heads", (_, m) => { m["calls"][0].heads = 100_000; }, "100000 heads"],
    ["tokens that are no texts", (_, m) => { m["sides"][0].tokens = [1, 2]; }, "token texts"],
    ["no calls", (_, m) => { m["calls"] = null; }, "list of calls"],
  ])("with %s is refused", (_, spoil, says) => {
    const { arrays, meta } = small();
    spoil(arrays, meta);
    expect(() => readScene(pack(arrays, meta))).toThrow(FormatFault);
    expect(() => readScene(pack(arrays, meta))).toThrow(says);
  });

  it("refuses a kept key that is not there", () => {
    const { arrays, meta } = smallScene({
      weights: [[[1, 0]]], top: { keys: [[[7]]], weights: [[[1]]], kept: [[1]] }, tokens: ["a", "b"],
    });
    expect(() => readScene(pack(arrays, meta))).toThrow("keeps key 7");
  });
});

describe("unpacking", () => {
  const zip = async (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer());

  it("undoes gzip", async () => {
    expect([...(await gunzip(await zip(Uint8Array.of(1, 2, 3)), 100))]).toEqual([1, 2, 3]);
  });

  it("stops at the limit, so that a small file cannot fill the memory", async () => {
    const bomb = await zip(new Uint8Array(1_000_000));
    expect(bomb.length).toBeLessThan(5000);
    await expect(gunzip(bomb, 10_000)).rejects.toThrow("more than 10000 bytes");
  });

  it("says so when the data is broken", async () => {
    await expect(gunzip(Uint8Array.of(1, 2, 3), 100)).rejects.toThrow("does not unpack");
    const cut = (await zip(new Uint8Array(5000).map((_, n) => n))).slice(0, 30);
    await expect(gunzip(cut, 10_000)).rejects.toThrow("does not unpack");
  });

  it("reads base64 and refuses what is none", () => {
    expect([...decodeBase64("AQID")]).toEqual([1, 2, 3]);
    expect(() => decodeBase64("***")).toThrow(FormatFault);
  });
});
