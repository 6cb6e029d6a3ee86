import { describe, expect, it } from "vitest";
import { captionOf, LATEX, MARKDOWN } from "../src/ui/export/caption";
import { knockLine, nameTarget } from "../src/ui/knock_panel";
import { focusedHead, sizeOf, type Request } from "../src/ui/knocking";
import { Model } from "../src/ui/model";
import { orderHeads, headFacts } from "../src/scene/measures";
import { readKnockOut } from "../src/wire/findings";
import { readScene } from "../src/wire/scene";
import { pack, smallScene } from "./blocks";

const S = 5;
const HEADS = 3;
const weights = Array.from({ length: HEADS }, (_, head) => Array.from({ length: S }, (_, i) => {
  const row = Array.from({ length: S }, (_, j) => Math.exp(-Math.abs(((i * (head + 1)) % S) - j)));
  const sum = row.reduce((total, w) => total + w, 0);
  return row.map((w) => w / sum);
}));

const out = (kind: string, change: number, place: object, more: object = {}) => ({
  kind, by: "zero", example: 0, output_change: change, answers: [{ name: "a", before: 0.5, after: 0.25, logit_before: 1, logit_after: null }], ...place, ...more,
});
const HEAD = out("head", 0.25, { call: 0, head: 1 });
const EDGE = out("edge", 0.125, { call: 0, head: 2, query: 4, key: 1 });
const TOKEN = out("token", 0.5, { key: 3 }, { by: "mean" });
const ROLES = [[0, 0, "sink", "91 %"], [0, 2, "broad_*", "1 $"]];

async function modelOf(said: object = { roles: ROLES, knock_outs: [HEAD, EDGE, TOKEN] }): Promise<Model> {
  const { arrays, meta } = smallScene({ weights });
  const block = pack(arrays, { ...meta, ...said }) as Uint8Array<ArrayBuffer>;
  const bytes = new Uint8Array(await new Response(new Blob([block]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer());
  const frame = { id: -1, label: "x", group: "example" as const, number: 1, bytes, example: 2, against: null, tokens: [S], marks: {} };
  const model = new Model({ title: "T", note: "", createdBy: "", frames: [frame, { ...frame, label: "y" }], view: {} });
  await model.showFrame(0);
  return model;
}

describe("what a page says of findings", () => {
  it("is read where it makes sense, and left out where it does not", () => {
    const { arrays, meta } = smallScene({ weights });
    const scene = readScene(pack(arrays, { ...meta, roles: [...ROLES, [0, -1, "x", ""], "y", [0, 1, 7, ""]], knock_outs: [HEAD, { kind: "layer" }, 3, null] }));
    expect([...scene.roles]).toEqual([["0 0", { name: "sink", evidence: "91 %" }], ["0 2", { name: "broad_*", evidence: "1 $" }]]);
    expect(scene.knockOuts).toHaveLength(1);
    expect(scene.knockOuts[0]!.answers[0]).toEqual({ name: "a", before: 0.5, after: 0.25, logits: [1, Number.NaN] });
  });

  it("orders heads by the name of their role, those without one last", async () => {
    const { scene } = await modelOf();
    expect(orderHeads(headFacts(scene), { order: "role", ranked: "all" }, false).map(({ head }) => head)).toEqual([2, 0, 1]);
  });

  it("measures a knock-out by the change of the output, or else by the answer that moves most", () => {
    expect(sizeOf(readKnockOut(out("head", -0.75, { call: 0, head: 0 }))!)).toBe(0.75);
    expect(sizeOf(readKnockOut({ ...HEAD, output_change: null })!)).toBe(0.25);
    expect(sizeOf(readKnockOut({ ...HEAD, output_change: null, answers: [] })!)).toBe(-1);
  });
});

describe("knocking out", () => {
  it("finds what was worked out for the head alone on show, and only for it", async () => {
    const model = await modelOf();
    expect(model.knocking.toggle()).toBe(false); // several heads are seen
    model.choose({ solo: { call: 0, head: 1 } });
    expect(focusedHead(model)).toEqual({ call: 0, head: 1 });
    expect(model.knocking.ways(model.knocking.target()!)).toEqual(["zero"]);
    expect(model.knocking.toggle()).toBe(true);
    expect(model.knocking.found(model.knocking.out!)?.change).toBe(0.25);
    model.choose({ layout: "line" });
    expect(model.knocking.out).not.toBeNull();
    model.choose({ solo: { call: 0, head: 0 } });
    expect(model.knocking.out).toBeNull();
    expect(model.knocking.toggle()).toBe(false); // nothing is known of it, and nobody can be asked
  });

  it("knows an edge by its query and key, also where both directions are drawn as one", async () => {
    const model = await modelOf();
    model.choose({ view: "layer", values: false });
    model.knocking.show(model.scene.knockOuts[1]!);
    expect(model.selection?.kind).toBe("edge");
    expect(model.knocking.out).toMatchObject({ kind: "edge", head: 2, query: 4, key: 1 });
    const edge = (query: number, key: number, head = 2) => ({ kind: 0, call: 0, head, query, key });
    expect([edge(4, 1), edge(1, 4), edge(4, 1, 1), edge(4, 2)].map((one) => model.knocking.takes(one))).toEqual([true, true, false, false]);
    model.select(null);
    expect(model.knocking.out).toBeNull();
  });

  it("shows a token by the way it was worked out", async () => {
    const model = await modelOf();
    model.knocking.show(model.scene.knockOuts[2]!);
    expect(model.selection).toMatchObject({ kind: "token", token: 3 });
    expect(model.knocking.by).toBe("mean");
    expect(model.knocking.takes({ kind: 1, call: 0, head: 0, query: 0, key: 3 })).toBe(true);
    expect(model.knocking.takes({ kind: 1, call: 0, head: 0, query: 0, key: 2 })).toBe(false);
  });

  it("is not offered between two passes, nor kept in the next picture", async () => {
    const model = await modelOf();
    model.choose({ solo: { call: 0, head: 1 } });
    model.knocking.toggle();
    await model.showFrame(1);
    expect(model.knocking.out).toBeNull();
    await model.compare(0);
    expect(model.scene.before).not.toBeNull();
    expect(model.knocking.toggle()).toBe(false);
  });

  it("asks the kernel one question at a time, of those that wait the newest, and none twice", async () => {
    const model = await modelOf({});
    const asked: Request[] = [];
    let answer: (said: unknown) => void = () => {};
    model.knocking.ask = (request) => {
      asked.push(request);
      return new Promise((resolve) => (answer = resolve));
    };
    for (const head of [0, 1, 2]) {
      model.choose({ solo: { call: 0, head } });
      model.knocking.toggle();
    }
    const settle = async () => {
      answer({ answers: [], output_change: asked.length });
      await new Promise((resolve) => setTimeout(resolve));
    };
    await settle();
    await settle();
    expect(asked.map(({ kind, head, by, example, frame }) => [kind, head, by, example, frame])).toEqual([["head", 0, "zero", 2, 0], ["head", 2, "zero", 2, 0]]);
    expect(model.knocking.found(model.knocking.out!)?.change).toBe(2);
    expect(model.knocking.isWaiting).toBe(false);
    model.knocking.toggle();
    model.knocking.toggle();
    expect(asked).toHaveLength(2);
  });

  it("forgets what was answered for other data, also what was asked for it", async () => {
    const model = await modelOf({});
    let answer: (said: unknown) => void = () => {};
    model.knocking.ask = () => new Promise((resolve) => (answer = resolve));
    model.choose({ solo: { call: 0, head: 0 } });
    model.knocking.toggle();
    model.replacePage({ ...model.page, frames: (await modelOf({})).page.frames });
    answer({ answers: [], output_change: 1 });
    await new Promise((resolve) => setTimeout(resolve));
    await model.showFrame(0);
    model.choose({ solo: { call: 0, head: 0 } });
    expect(model.knocking.found(model.knocking.target()!)).toBeNull();
  });

  it("keeps what the kernel could not do as a sentence", async () => {
    const model = await modelOf({});
    model.knocking.ask = () => Promise.reject(new Error("gone"));
    model.choose({ solo: { call: 0, head: 0 } });
    model.knocking.toggle();
    await new Promise((resolve) => setTimeout(resolve));
    expect(model.knocking.found(model.knocking.out!)?.error).toBe("Error: gone");
  });
});

describe("words", () => {
  const place = { call: null, head: null, query: null, key: null, side: null };
  it("give the line of Python", () => {
    expect(knockLine({ ...place, kind: "head", call: 2, head: 3 }, "zero")).toBe("headscape.knock_out(model, inputs, heads=[(2, 3)])");
    expect(knockLine({ ...place, kind: "edge", call: 2, query: 5, key: 1 }, "mean")).toBe('headscape.knock_out(model, inputs, edges=[(2, None, 5, 1)], by="mean")');
    expect(knockLine({ ...place, kind: "token", key: 4, side: 0 }, "zero")).toBe("headscape.knock_out(model, inputs, tokens=[4])");
    expect(knockLine({ ...place, kind: "token", key: 4, side: 1 }, "zero")).toBe("headscape.knock_out(model, inputs, tokens=[(1, 4)])");
  });

  it("of a caption name the role of the head alone on show, and what is knocked out, as text", async () => {
    const model = await modelOf();
    expect(captionOf(model, "", MARKDOWN)).not.toMatch(/Role|Knocked/);
    model.choose({ solo: { call: 0, head: 2 } });
    expect(captionOf(model, "", MARKDOWN)).toContain("Role of head 2 of layer 0: broad\\_\\* \\(1 \\$\\).");
    expect(captionOf(model, "", LATEX)).toContain("broad\\_* (1 \\$).");
    model.choose({ solo: { call: 0, head: 1 } });
    model.knocking.toggle();
    expect(captionOf(model, "", MARKDOWN)).toContain("Knocked out (zero), dashed: layer 0\\, head 1.");
    expect(nameTarget(model, model.scene.knockOuts[1]!)).toBe("4 → 1, layer 0, head 2");
  });
});
