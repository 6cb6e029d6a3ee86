// Times the parts of the viewer that grow with the number of weights, in node, and writes them to docs/viewer_costs.md.
//
//     node benchmarks/viewer_parts.mjs            print
//     node benchmarks/viewer_parts.mjs --write    and replace the table of docs/viewer_costs.md
//
// Attention is made up: local, broad, first-token and previous-token heads; a causal or a full mask.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const root = new URL("..", import.meta.url).pathname;
const { build } = createRequire(join(root, "viewer/package.json"))("esbuild");
const REPEATS = 5;
// Keys before its own that a query sees where only the strongest are kept.
const NEAR = 64;
// As the writer of pages codes weights: see src/headscape/view/scene.py.
const [EXACT_WEIGHTS, STRONG, WEAK_STEPS, IS_STRONG] = [1_000_000, 1 / 16, 512, 255];
const SIZES = [
  { name: "12 x 12 x 20", layers: 12, heads: 12, tokens: 20 },
  { name: "12 x 12 x 84", layers: 12, heads: 12, tokens: 84 },
  { name: "12 x 12 x 128", layers: 12, heads: 12, tokens: 128 },
  { name: "12 x 12 x 197", layers: 12, heads: 12, tokens: 197 },
  { name: "30 x 12 x 2,048, top-16", layers: 30, heads: 12, tokens: 2048, k: 16, causal: true },
];

async function load() {
  const folder = await mkdtemp(join(tmpdir(), "viewer-parts-"));
  const path = join(folder, "parts.mjs");
  await build({
    stdin: {
      contents: `
        export { readScene } from "./src/wire/scene";
        export { indexNodes } from "./src/scene/nodes";
        export { buildGraph } from "./src/scene/build";
        export { heldBelow, orderEdges } from "./src/scene/prune";
        export { defaultChoice } from "./src/scene/choice";
        export { scaleEdges } from "./src/scene/scales";
        export { placeNodes } from "./src/scene/layout";
        export { buildCurves } from "./src/scene/curves";
        export { Lanes } from "./src/scene/lanes";
        export { pickEdge, projectCurves } from "./src/scene/pick";
        export { receivedAttention, storyEdges } from "./src/scene/story";
        export { pack } from "./tests/blocks";`,
      resolveDir: join(root, "viewer"), loader: "ts",
    },
    outfile: path, bundle: true, format: "esm", target: "es2022", logLevel: "error",
  });
  const parts = await import(pathToFileURL(path));
  await rm(folder, { recursive: true });
  return parts;
}

/** A number generator of its own, so that runs agree. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function fillRow(row, query, head, { causal, k }, random) {
  const last = causal ? query : row.length - 1;
  const first = k ? Math.max(0, query - NEAR) : 0;
  let sum = 0;
  for (let key = first; key <= last; key++) {
    const near = Math.abs(key - query);
    const score = [-near / 3, -near / 40, key === 0 ? 4 : -near / 60, key === query - 1 ? 5 : -near / 20][head % 4];
    sum += row[key] = Math.exp(score + 2 * random());
  }
  for (let key = first; key <= last; key++) row[key] /= sum;
}

/** Bytes of a scene block of made-up attention. */
function sceneBytes(parts, { layers, heads, tokens, k = null, causal = false }) {
  const random = generator(7);
  const arrays = {};
  const calls = [];
  const row = new Float32Array(tokens);
  const width = k ?? tokens;
  for (let n = 0; n < layers; n++) {
    const weight = new Float32Array(heads * tokens * width);
    const key = k && new Int32Array(heads * tokens * k).fill(-1);
    const kept = k && new Float32Array(heads * tokens);
    for (let head = 0; head < heads; head++) for (let query = 0; query < tokens; query++) {
      row.fill(0);
      fillRow(row, query, head + n, { causal, k }, random);
      const at = (head * tokens + query) * width;
      if (!k) weight.set(row, at);
      else {
        const first = Math.max(0, query - NEAR);
        const near = [...row.subarray(first, query + 1)].map((w, place) => [w, first + place]).sort((a, b) => b[0] - a[0]).slice(0, k);
        near.forEach(([w, place], slot) => {
          weight[at + slot] = w;
          key[at + slot] = place;
          kept[head * tokens + query] += w;
        });
      }
    }
    const rows = heads * tokens;
    const isCoded = layers * weight.length > EXACT_WEIGHTS;
    if (isCoded) {
      const isStrong = (w) => w >= STRONG;
      arrays[`weight.${n}`] = { shape: [heads, tokens, width], data: Uint8Array.from(weight, (w) => (isStrong(w) ? IS_STRONG : Math.max(Math.round(Math.sqrt(w) * WEAK_STEPS), w > 0 ? 1 : 0))) };
      const strong = Uint16Array.from(weight.filter(isStrong), (w) => Math.round(Math.sqrt(w) * 65535));
      arrays[`strong.${n}`] = { shape: [strong.length], data: strong };
    } else arrays[`weight.${n}`] = { shape: [heads, tokens, width], data: weight };
    if (k) {
      arrays[`key.${n}`] = { shape: [heads, tokens, k], data: key };
      arrays[`kept.${n}`] = { shape: [heads, tokens], data: kept };
    }
    arrays[`visible.${n}`] = { shape: [heads, tokens], data: Int32Array.from({ length: rows }, (_, r) => (causal ? (r % tokens) + 1 : tokens)) };
    arrays[`entropy.${n}`] = { shape: [heads, tokens], data: new Float32Array(rows) };
    arrays[`value_norm.${n}`] = { shape: [heads, tokens], data: Float32Array.from({ length: rows }, () => 0.5 + random()) };
    arrays[`flow.${n}`] = { shape: [4, tokens], data: new Float32Array(4 * tokens).fill(1) };
    calls.push({ path: "a", site: "a", layer: n, kind: "self", source: "written", query_side: 0, key_side: 0, plane: n,
      heads, queries: tokens, keys: tokens, k, code: isCoded ? "sqrt_u8" : "f32", nan_rows: 0 });
  }
  const side = { name: "tokens", tokens: Array.from({ length: tokens }, (_, n) => `t${n}`), padded: [], planes: layers + 1, grid: null };
  return parts.pack(arrays, { format: 1, kind: "scene", model: "made up", warnings: [], sides: [side], calls, outputs: null });
}

/** Median of the processor's time in ms, which other work on the machine moves little, and the last result. */
function time(run, repeats = REPEATS) {
  const times = [];
  let result;
  for (let n = 0; n < repeats; n++) {
    const start = process.cpuUsage();
    result = run();
    const { user, system } = process.cpuUsage(start);
    times.push((user + system) / 1000);
  }
  return [times.sort((a, b) => a - b)[times.length >> 1], result];
}

// Column of the table, and what stands above it.
const COLUMNS = {
  weights: "weights", edges: "edges", kept: "gzip, MB", unpack: "unpack", read: "read", find: "find edges", sort: "sort by layer",
  strength: "by strength", row: "by row", drag: "move the threshold", received: "attention received", story: "a token's story", curves: "curves", project: "project",
  pick: "pick",
};

function measure(parts, size) {
  const packed = gzipSync(sceneBytes(parts, size));
  const out = { size: size.name, kept: packed.length / 1e6 };
  const text = packed.toString("base64");
  let scene, graph, order, curves, flat, bytes;
  [out.unpack, bytes] = time(() => gunzipSync(Buffer.from(text, "base64")));
  bytes = new Uint8Array(bytes);
  [out.read, scene] = time(() => parts.readScene(bytes));
  const index = parts.indexNodes(scene);
  const choice = parts.defaultChoice(size.heads, "ring");
  [out.find, graph] = time(() => parts.buildGraph(scene, index, choice));
  [out.sort, order] = time(() => parts.orderEdges(graph, "layer"));
  out.strength = time(() => parts.orderEdges(graph, "strength"))[0];
  out.row = time(() => parts.orderEdges(graph, "row"), 1)[0];
  // A hundred steps of the slider, each of which asks what is shown.
  out.drag = time(() => Array.from({ length: 100 }, (_, step) => parts.heldBelow(graph, order, 4 * 1.08 ** step)))[0] / 100;
  out.received = time(() => parts.receivedAttention(scene, index, choice), 1)[0];
  out.story = time(() => parts.storyEdges(graph, 0, 5))[0];
  const places = parts.placeNodes(scene, index, choice, 1.4);
  const lanes = new parts.Lanes(order.edges, index.count, size.heads);
  const lines = { layout: "ring", isStack: true, lanes, isStraight: false };
  [out.curves, curves] = time(() => parts.buildCurves(order.edges, order.edges.length, index, places, lines));
  const camera = { yaw: 0.4, pitch: 0.3, scale: 300, panX: 0, panY: 0, centre: [3, 0, 0], lens: 20 };
  [out.project, flat] = time(() => parts.projectCurves(curves, order.edges.length, camera, 1200, 800));
  out.pick = time(() => Array.from({ length: 100 }, (_, n) => parts.pickEdge(flat, 12.3 * n, 8.1 * n)))[0] / 100;
  out.weights = scene.calls.reduce((sum, call) => sum + call.weight.length, 0);
  out.edges = graph.total;
  return out;
}

function write(name, value) {
  if (name === "weights" || name === "edges") return value.toLocaleString("en");
  return name === "kept" ? value.toFixed(2) : value.toFixed(value < 10 ? 1 : 0);
}

/** The results as a table, a column for each size. */
function table(results) {
  const row = (cells) => `| ${cells.join(" | ")} |`;
  return [
    row(["layers x heads x tokens", ...results.map((one) => one.size)]),
    row(["---", ...results.map(() => "---:")]),
    ...Object.entries(COLUMNS).map(([name, title]) => row([title, ...results.map((one) => write(name, one[name]))])),
  ].join("\n");
}

const [START, END] = ["<!-- viewer_parts: start -->", "<!-- viewer_parts: end -->"];

const parts = await load();
const results = SIZES.map((size) => measure(parts, size));
const text = table(results);
console.log(text);
if (process.argv.includes("--write")) {
  const path = join(root, "docs/viewer_costs.md");
  const page = await readFile(path, "utf8");
  const [start, end] = [page.indexOf(START), page.indexOf(END)];
  if (start < 0 || end < 0) throw new Error(`${path} has no ${START} ... ${END}`);
  await writeFile(path, `${page.slice(0, start + START.length)}\n\n${text}\n\n${page.slice(end)}`);
}
