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

const root = new URL("..", import.meta.url).pathname;
const { build } = createRequire(join(root, "viewer/package.json"))("esbuild");
const REPEATS = 5;
const SIZES = [
  { name: "12 x 12 x 20", layers: 12, heads: 12, tokens: 20 },
  { name: "12 x 12 x 83: 1e6 weights", layers: 12, heads: 12, tokens: 83 },
  { name: "12 x 12 x 128", layers: 12, heads: 12, tokens: 128 },
  { name: "12 x 12 x 197: 5.6e6 weights", layers: 12, heads: 12, tokens: 197 },
  { name: "30 x 12 x 2,048, causal, 16 keys a row kept", layers: 30, heads: 12, tokens: 2048, k: 16, causal: true },
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
        export { orderEdges } from "./src/scene/prune";
        export { defaultChoice } from "./src/scene/choice";
        export { scaleEdges } from "./src/scene/scales";
        export { placeNodes } from "./src/scene/layout";
        export { buildCurves } from "./src/scene/curves";
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

function fillRow(row, query, head, causal, random) {
  const last = causal ? query : row.length - 1;
  let sum = 0;
  for (let key = 0; key <= last; key++) {
    const near = Math.abs(key - query);
    const score = [-near / 3, -near / 40, key === 0 ? 4 : -near / 60, key === query - 1 ? 5 : -near / 20][head % 4];
    sum += row[key] = Math.exp(score + 2 * random());
  }
  for (let key = 0; key <= last; key++) row[key] /= sum;
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
      fillRow(row, query, head + n, causal, random);
      const at = (head * tokens + query) * width;
      if (!k) weight.set(row, at);
      else {
        const first = Math.max(0, query - 64);
        const near = [...row.subarray(first, query + 1)].map((w, place) => [w, first + place]).sort((a, b) => b[0] - a[0]).slice(0, k);
        near.forEach(([w, place], slot) => {
          weight[at + slot] = w;
          key[at + slot] = place;
          kept[head * tokens + query] += w;
        });
      }
    }
    const rows = heads * tokens;
    arrays[`weight.${n}`] = { shape: [heads, tokens, width], data: weight };
    if (k) {
      arrays[`key.${n}`] = { shape: [heads, tokens, k], data: key };
      arrays[`kept.${n}`] = { shape: [heads, tokens], data: kept };
    }
    arrays[`visible.${n}`] = { shape: [heads, tokens], data: Int32Array.from({ length: rows }, (_, r) => (causal ? (r % tokens) + 1 : tokens)) };
    arrays[`entropy.${n}`] = { shape: [heads, tokens], data: new Float32Array(rows) };
    arrays[`value_norm.${n}`] = { shape: [heads, tokens], data: Float32Array.from({ length: rows }, () => 0.5 + random()) };
    arrays[`flow.${n}`] = { shape: [4, tokens], data: new Float32Array(4 * tokens).fill(1) };
    calls.push({ path: "a", site: "a", layer: n, kind: "self", source: "written", query_side: 0, key_side: 0, plane: n,
      heads, queries: tokens, keys: tokens, k, code: "f32", nan_rows: 0 });
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

function measure(parts, size) {
  const bytes = sceneBytes(parts, size);
  const out = { size: size.name };
  let scene, graph, order, places, curves, flat;
  [out.read, scene] = time(() => parts.readScene(bytes));
  const index = parts.indexNodes(scene);
  const choice = { ...parts.defaultChoice(size.heads, "ring"), values: !process.argv.includes("--no-values") };
  const repeats = out.read > 400 ? 1 : REPEATS;
  [out.build, graph] = time(() => parts.buildGraph(scene, index, choice), repeats);
  [out.order, order] = time(() => parts.orderEdges(graph, "layer"), repeats);
  out.row = time(() => parts.orderEdges(graph, "row"), 1)[0];
  out.strength = time(() => parts.orderEdges(graph, "strength"), repeats)[0];
  out.received = time(() => parts.receivedAttention(scene, index, choice), repeats)[0];
  out.story = time(() => parts.storyEdges(graph, 0, 5), repeats)[0];
  [, places] = time(() => parts.placeNodes(scene, index, choice, 1.4));
  [out.curves, curves] = time(() => parts.buildCurves(order.edges, order.edges.length, index, places, { layout: "ring", isStack: true, heads: size.heads }));
  out.scale = time(() => parts.scaleEdges("rank", order.edges, order.edges.length))[0];
  const camera = { yaw: 0.4, pitch: 0.3, scale: 300, panX: 0, panY: 0, centre: [3, 0, 0], lens: 20 };
  [out.project, flat] = time(() => parts.projectCurves(curves, order.edges.length, camera, 1200, 800));
  out.pick = time(() => parts.pickEdge(flat, 600.3, 400.7), 20)[0];
  out.edges = graph.total;
  out.drawn = order.edges.length;
  return out;
}

const parts = await load();
for (const size of SIZES) {
  const one = measure(parts, size);
  console.log(Object.entries(one).map(([name, value]) => (typeof value === "number" && name !== "edges" && name !== "drawn" ? `${name} ${value.toFixed(1)}` : `${name} ${value}`)).join(" | "));
}
