import { describe, expect, it } from "vitest";
import { captionOf, LATEX, latexCaption, MARKDOWN } from "../src/ui/export/caption";
import { fileName } from "../src/ui/export/save";
import { Model } from "../src/ui/model";
import { pack, smallScene } from "./blocks";

const EVEN = [[0.5, 0.5, 0], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]];

async function modelOf(tokens: string[], top = false): Promise<Model> {
  const kept = { keys: [[[0, 1], [2, 1], [1, 0]]], weights: [[[0.5, 0.5], [0.5, 0.3], [0.8, 0.1]]], kept: [[1, 0.8, 0.9]] };
  const { arrays, meta } = smallScene({ weights: [EVEN], tokens, norms: [[1, 1, 1]], ...(top ? { top: kept } : {}) });
  if (top) meta["calls"][0].keys = 3;
  const block = pack(arrays, meta) as Uint8Array<ArrayBuffer>;
  const bytes = await new Response(new Blob([block]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
  const model = new Model({ title: "T", note: "", createdBy: "", view: {}, frames: [{ id: 0, label: "", group: "example", number: 1, bytes: new Uint8Array(bytes), example: 0, against: null, tokens: [], marks: {} }] });
  await model.showFrame(0);
  return model;
}

describe("a caption", () => {
  it("says model, sizes, tokens, edges of how many, share, scale, direction and pruning", async () => {
    const model = await modelOf(["to", "be", "not"]);
    model.choose({ values: false, scale: "log", prune: "layer" });
    model.setSlider(0); // one edge a layer
    const said = captionOf(model, "1 of 6 attention edges · 43\u202f% of the attention", { own: (text) => text, foreign: (text) => text });
    for (const part of [
      "Attention of Small (1 layer × 1 head, 3 tokens)", "“to be not”", "all heads", "Shown: 1 of 6 attention edges · 43\u202f% of the attention.",
      "Kept: the 1 strongest edge of each layer",
      "Strength of an edge: log, 1 + log₁₀(w / largest of the layer) / 5", "(A + Aᵀ)",
    ]) expect(said).toContain(part);
  });

  it("says what the page does not hold", async () => {
    const said = captionOf(await modelOf(["a", "b", "c"], true), "", LATEX);
    expect(said).toContain("the page holds 2 of 3 keys a row, 90.0 \\% of the attention");
  });

  it("keeps every sign of LaTeX a sign", async () => {
    const model = await modelOf(["\\input{x}", "50% & $5_0^2", "~#<>|\u202e\u0007"]);
    const said = latexCaption(model, "1 of 6 edges");
    expect(said).toContain("\\textbackslash{}input\\{x\\} 50\\% \\& \\$5\\_0\\textasciicircum{}2 \\textasciitilde{}\\#\\textless{}\\textgreater{}\\textbar{}");
    expect(said.replace(/\\caption\{|\}$|\\[%&$_#{}|,]|\\[a-z]+(\{\})?|\$[^$]*\$/gi, "")).not.toMatch(/[\\{}$&#%_^~]/);
    expect(said).not.toMatch(/[\u0000-\u001f\u202a-\u202e]/);
  });

  it("keeps Markdown from making links, markup or names of tokens", async () => {
    const said = captionOf(await modelOf(["<img src=x>", "[a](b)", "https://x.y"]), "", MARKDOWN);
    expect(said).toContain("\\<img src\\=x\\>");
    expect(said).toContain("\\[a\\]\\(b\\)");
    expect(said).toContain("https\\:\\/\\/x\\.y");
  });
});

it("file names are plain", () => {
  expect(fileName("../a b/ü:<>")).toBe("a-b-u");
  expect(fileName("…")).toBe("headscape");
});
