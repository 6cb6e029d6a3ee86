import { describe, expect, it } from "vitest";
import { csvOf, numberCell, textCell } from "../src/ui/centre/table_csv";
import { findRows, Rows, type ColumnName } from "../src/ui/centre/table_rows";
import { Model } from "../src/ui/model";
import { pack, smallScene } from "./blocks";

const WORDS = ["=1+1", 'say "hi", you', "·flight", "Boston"];
const RAW = ["=1+1", 'say "hi", you', "ight", "ĠBoston"];
// Rows of two heads; the second is the first turned.
const A = [[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.05, 0.15, 0.2, 0.6], [0.3, 0.3, 0.3, 0.1]];
const B = A.map((row) => [...row].reverse());

async function gzip(weights: number[][][]): Promise<Uint8Array> {
  const { arrays, meta } = smallScene({ weights, tokens: WORDS, norms: weights.map(() => [1, 2, 3, 4]) });
  meta["sides"][0].raw = RAW;
  const stream = new Blob([pack(arrays, meta) as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function modelOf(...frames: number[][][][]): Promise<Model> {
  const list = await Promise.all(frames.map(async (weights, n) => ({
    label: String(n), group: "example" as const, number: n, bytes: await gzip(weights), against: null,
  })));
  const model = new Model({ title: "T", note: "", createdBy: "", frames: list } as never);
  await model.showFrame(0);
  model.choose({ view: "table", values: false, direction: "forward" });
  model.setSlider(1);
  return model;
}

/** Numbers of a column in the order of the rows. */
const values = (rows: Rows, order: ArrayLike<number>, name: ColumnName) => Array.from(order, (n) => rows.value(n, name));

/** Records of a CSV text, by a reader of its own. */
function readCsv(text: string): string[][] {
  return text.trimEnd().split(/\r\n(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((line) =>
    line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((cell) => cell.replace(/^"(.*)"$/s, "$1").replaceAll('""', '"')));
}

describe("rows", () => {
  it("are all shown edges with the weights of the call", async () => {
    const rows = new Rows(await modelOf([A, B]));
    expect(rows.count).toBe(2 * 16);
    const order = findRows(rows, "", null);
    for (const n of order) {
      const at = [rows.value(n, "head"), rows.value(n, "from"), rows.value(n, "to")] as const;
      const weight = [A, B][at[0]]![at[1]]![at[2]]!;
      expect(rows.value(n, "weight")).toBe(Math.fround(weight));
      expect(rows.value(n, "contribution")).toBeCloseTo(weight * [1, 2, 3, 4][at[2]]!, 6);
    }
  });

  it("are sorted by each column both ways, with unknown numbers last", async () => {
    const model = await modelOf([A, B]);
    const rows = new Rows(model);
    for (const name of ["layer", "head", "from", "to", "weight", "reverse", "lift", "contribution"] as const) {
      for (const isFalling of [false, true]) {
        const found = values(rows, findRows(rows, "", { name, isFalling }), name);
        const known = found.filter((value) => value === value);
        expect(found.slice(0, known.length)).toEqual(known);
        expect(known).toEqual([...known].sort((a, b) => (isFalling ? b - a : a - b)));
        expect(found).toHaveLength(rows.count);
      }
    }
  });

  it.each([
    ["boston", 14], ["h1", 16], ["H1 #3", 7], ["3", 14], ["bos h0 l0", 7], ["l9", 0], ['"h1"', 0], ["attention", 32], ["hi\",", 14], ['"say "', 14],
  ])("that %s finds", async (search, count) => {
    expect(findRows(new Rows(await modelOf([A, B])), search, null)).toHaveLength(count);
  });

  it("of a pair of passes start with the biggest change, and tell both weights exactly", async () => {
    const model = await modelOf([A], [B]);
    await model.showFrame(1);
    await model.compare(0);
    const rows = new Rows(model);
    expect(rows.columns.map((column) => column.name)).toEqual(["layer", "head", "from", "to", "before", "after", "change", "kind"]);
    const order = findRows(rows, "", { name: "change", isFalling: true });
    const sizes = values(rows, order, "change").map(Math.abs);
    expect(sizes[0]).toBeCloseTo(0.6, 6);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    for (const n of order) {
      const [query, key] = [rows.value(n, "from"), rows.value(n, "to")];
      expect(rows.value(n, "before")).toBe(Math.fround(A[query]![key]!));
      expect(rows.value(n, "after")).toBe(Math.fround(B[query]![key]!));
    }
  });
});

describe("CSV", () => {
  it.each([
    ["plain", "plain"], ["a,b", '"a,b"'], ['a"b', '"a""b"'], ["a\nb", '"a\nb"'], ["a\r", '"a\r"'], ["", ""],
    ["=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"], ["+1", "'+1"], ["-1", "'-1"], ["@x", "'@x"], ["\t=1", "'\t=1"], ["=a,b", "\"'=a,b\""],
  ])("writes %j as %j", (text, cell) => {
    expect(textCell(text)).toBe(cell);
  });

  it("writes numbers as the shortest that are the same float32", () => {
    expect(numberCell(Math.fround(0.1))).toBe("0.1");
    expect(numberCell(-0.25)).toBe("-0.25");
    expect(numberCell(Number.NaN)).toBe("");
    for (let n = 1; n < 2000; n++) {
      const value = Math.fround(Math.sin(n) * 10 ** ((n % 60) - 30));
      expect(Math.fround(Number(numberCell(value)))).toBe(value);
    }
  });

  it("holds every row, with tokens as their tokenizer writes them", async () => {
    const model = await modelOf([A, B]);
    const rows = new Rows(model);
    const order = findRows(rows, "", { name: "weight", isFalling: true });
    const [head, ...records] = readCsv(csvOf(rows, order).join(""));
    expect(head).toEqual(["path", "layer", "head", "query_position", "query", "key_position", "key", "weight", "reverse", "lift", "contribution", "kind"]);
    expect(records).toHaveLength(rows.count);
    records.forEach((record, at) => {
      const n = order[at]!;
      expect(Math.fround(Number(record[7]))).toBe(rows.value(n, "weight"));
      expect(record[6]!.replace(/^'/, "")).toBe(RAW[rows.value(n, "to")]);
    });
    expect(records.some((record) => record[4] === "'=1+1")).toBe(true);
  });
});
