/** The scene block: what one forward pass did with one example. */

import { asRecord, isCount, readBlock, takeArray, type Block } from "./block";
import { FormatFault } from "./fault";
import { readKnockOuts, readRoles, type KnockOut, type Role } from "./findings";
import { readOutputs, type OutputsData } from "./outputs";
import { asText, asTexts, expectKind } from "./page";
import { readVectors, type Vectors } from "./vectors";

export interface Patches {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array; // (token, height, width, 3)
  readonly unpictured: ReadonlySet<number>;
}

export interface SideData {
  readonly name: string;
  readonly tokens: readonly string[]; // as a person writes them
  readonly raw: readonly string[]; // as the tokenizer does
  readonly padded: Uint8Array; // (token), 1 = padding
  readonly planes: number;
  readonly grid: readonly [number, number, number] | null; // frames, rows, columns
  readonly patches: Patches | null;
  readonly spring: Float32Array | null; // (plane, token, 2): across, up; places that NetworkX worked out
  readonly slots: number; // tokens that layouts leave room for: more than there are while a text grows
}

/** How weights are stored: as they are, or as codes of their square roots. */
export type WeightCode = "f32" | "sqrt_u16" | "sqrt_u8";

export interface CallData {
  readonly number: number;
  readonly path: string;
  readonly site: string;
  readonly layer: number;
  readonly kind: "self" | "cross";
  readonly source: string;
  readonly querySide: number;
  readonly keySide: number;
  readonly plane: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly k: number | null;
  readonly code: WeightCode;
  readonly nanRows: number;
  readonly isWhole: boolean; // no weight above 0 was left out
  readonly sums: string; // what rows sum to where that is not 1, in words
  readonly weight: Float32Array; // (head, query, key) or (head, query, k)
  readonly key: Int32Array | null; // (head, query, k), -1 = none
  readonly kept: Float32Array | null; // (head, query)
  readonly visible: Int32Array; // (head, query), 0 = padded
  readonly entropy: Float32Array; // (head, query) bits
  readonly valueNorm: Float32Array | null; // (head, key)
  readonly flow: Float32Array; // (4, query): residual, attention, stream, feed_forward
  readonly measures: Float32Array | null; // (4, head): mean entropy, distance, share of the first key, contribution
  readonly vectors: Vectors | null;
  readonly sign: Int8Array | null; // as weight, where weights are differences: 1 rose, -1 fell
}

export interface SceneData {
  readonly model: string;
  readonly sides: readonly SideData[];
  readonly calls: readonly CallData[];
  readonly outputs: OutputsData | null;
  readonly warnings: readonly string[];
  readonly roles: ReadonlyMap<string, Role>; // by headKey()
  readonly knockOuts: readonly KnockOut[];
  readonly before: SceneData | null; // what a difference was taken from
  readonly after: SceneData | null; // and what it leads to
}

// Token nodes of all planes that a tab can hold: 60 planes of 16,384 tokens.
const MOST_NODES = 1_000_000;
const MOST_CALLS = 10_000;
// No known model has more than 128 heads in a call.
const MOST_HEADS = 1024;
// Measures of each head: entropy, distance, first key, contribution.
const MEASURES = 4;
// Letters of a sentence about a call.
const MOST_SAID = 200;

/** Read a scene block; throws FormatFault that names what does not fit. */
export function readScene(bytes: Uint8Array): SceneData {
  const block = readBlock(bytes);
  expectKind(block, "scene");
  const { sides, calls, warnings, model } = block.meta;
  if (!Array.isArray(sides) || sides.length === 0) throw new FormatFault("The scene has no sides, so no tokens.");
  if (!Array.isArray(calls) || calls.length > MOST_CALLS) throw new FormatFault("The scene has no list of calls.");
  const readSides = sides.map((side: unknown, n) => readSide(side, n, block));
  const nodes = readSides.reduce((total, side) => total + side.planes * side.tokens.length, 0);
  if (nodes > MOST_NODES) throw new FormatFault(`The scene has ${nodes} nodes; at most ${MOST_NODES} can be drawn.`);
  return {
    model: asText(model),
    before: null,
    after: null,
    sides: readSides,
    calls: calls.map((call: unknown, n) => readCall(call, n, readSides, block)),
    outputs: readOutputs(block, readSides),
    warnings: Array.isArray(warnings) ? warnings.filter((text): text is string => typeof text === "string") : [],
    roles: readRoles(block.meta["roles"]),
    knockOuts: readKnockOuts(block.meta["knock_outs"]),
  };
}

function readSide(value: unknown, n: number, block: Block): SideData {
  const side = asRecord(value);
  const tokens = side?.["tokens"];
  const planes = side?.["planes"];
  if (!side || !Array.isArray(tokens) || !tokens.every((token) => typeof token === "string")) {
    throw new FormatFault(`Side ${n} has no list of token texts.`);
  }
  if (!isCount(planes) || planes < 1 || planes > 2 * MOST_CALLS) throw new FormatFault(`Side ${n} has no number of planes.`);
  const padded = new Uint8Array(tokens.length);
  const said = side["padded"];
  for (const token of Array.isArray(said) ? (said as unknown[]) : []) {
    if (!isCount(token) || token >= tokens.length) throw new FormatFault(`Side ${n} lists a padded token that it lacks.`);
    padded[token] = 1;
  }
  const grid = side["grid"];
  const isGrid = Array.isArray(grid) && (grid.length === 2 || grid.length === 3) && grid.every((length) => isCount(length) && length > 0);
  const [frames, rows, columns] = isGrid ? ([1, ...(grid as number[])].slice(-3) as [number, number, number]) : [0, 0, 0];
  return {
    name: asText(side["name"]) || `side ${n}`,
    tokens: tokens as string[],
    raw: asTexts(side["raw"], tokens as string[]),
    padded,
    planes,
    grid: isGrid && frames * rows * columns <= tokens.length ? [frames, rows, columns] : null,
    patches: side["has_patches"] === true ? readPatches(side, n, tokens.length, block) : null,
    spring: block.arrays.has(`spring.${n}`) ? takeArray(block, `spring.${n}`, [planes, tokens.length, 2], Float32Array) : null,
    slots: tokens.length,
  };
}

function readPatches(side: Record<string, unknown>, n: number, tokens: number, block: Block): Patches {
  const name = `patches.${n}`;
  const rgb = takeArray(block, name, [tokens, -1, -1, 3], Uint8Array);
  const [, height, width] = block.arrays.get(name)!.shape;
  const without = side["unpictured"];
  return { width: width!, height: height!, rgb, unpictured: new Set(Array.isArray(without) ? without.filter(isCount) : []) };
}

function takeCount(call: Record<string, unknown>, name: string, n: number): number {
  const value = call[name];
  if (!isCount(value)) throw new FormatFault(`Call ${n} has ${name} ${String(value)}; a whole number from 0 is needed.`);
  return value;
}

function readCall(value: unknown, n: number, sides: readonly SideData[], block: Block): CallData {
  const call = asRecord(value);
  if (!call) throw new FormatFault(`Call ${n} is not described.`);
  const [querySide, keySide] = [takeCount(call, "query_side", n), takeCount(call, "key_side", n)];
  const [heads, queries, keys] = [takeCount(call, "heads", n), takeCount(call, "queries", n), takeCount(call, "keys", n)];
  const plane = takeCount(call, "plane", n);
  if (heads > MOST_HEADS) throw new FormatFault(`Call ${n} has ${heads} heads; at most ${MOST_HEADS} are shown.`);
  const [ofQuery, ofKey] = [sides[querySide], sides[keySide]];
  if (!ofQuery || !ofKey) throw new FormatFault(`Call ${n} names a side that is not there.`);
  if (plane + 1 >= ofQuery.planes) {
    throw new FormatFault(`Call ${n} acts in plane ${plane}, but its side has ${ofQuery.planes} planes.`);
  }
  if (queries > ofQuery.tokens.length || keys > ofKey.tokens.length) {
    throw new FormatFault(`Call ${n} is ${queries} x ${keys}, more than its sides have tokens.`);
  }
  const k = call["k"] === null || call["k"] === undefined ? null : takeCount(call, "k", n);
  const code = call["code"] === "sqrt_u16" || call["code"] === "sqrt_u8" ? call["code"] : "f32";
  const shape = [heads, queries, k ?? keys];
  return {
    number: n, querySide, keySide, heads, queries, keys, plane, k, code,
    path: asText(call["path"]),
    site: asText(call["site"]) || asText(call["path"]),
    layer: takeCount(call, "layer", n),
    kind: call["kind"] === "cross" ? "cross" : "self",
    source: asText(call["source"]),
    nanRows: isCount(call["nan_rows"]) ? call["nan_rows"] : 0,
    isWhole: k === null || call["is_whole"] === true,
    sums: asText(call["sums"]).slice(0, MOST_SAID),
    weight: readWeights(block, n, shape, code),
    key: k === null ? null : readKeys(block, n, shape, keys),
    kept: k === null ? null : takeArray(block, `kept.${n}`, [heads, queries], Float32Array),
    visible: takeArray(block, `visible.${n}`, [heads, queries], Int32Array),
    entropy: takeArray(block, `entropy.${n}`, [heads, queries], Float32Array),
    valueNorm: block.arrays.has(`value_norm.${n}`)
      ? takeArray(block, `value_norm.${n}`, [heads, keys], Float32Array)
      : null,
    flow: takeArray(block, `flow.${n}`, [4, queries], Float32Array),
    measures: block.arrays.has(`measures.${n}`) ? takeArray(block, `measures.${n}`, [MEASURES, heads], Float32Array) : null,
    vectors: readVectors(block, n, call, { heads, queries, keys }),
    sign: null,
  };
}

// Steps of a weak square root from 0 to 1, and what stands in place of a strong one.
const WEAK_STEPS = 512;
const IS_STRONG = 255;

/** Weights as floats; what is not a finite number from 0 up is nothing that could be drawn, and becomes 0. */
function readWeights(block: Block, n: number, shape: readonly number[], code: WeightCode): Float32Array {
  const name = `weight.${n}`;
  if (code === "sqrt_u8") return readBytes(block, n, takeArray(block, name, shape, Uint8Array));
  if (code === "sqrt_u16") {
    const codes = takeArray(block, name, shape, Uint16Array);
    const weights = new Float32Array(codes.length);
    for (let at = 0; at < codes.length; at++) weights[at] = (codes[at]! / 65535) ** 2;
    return weights;
  }
  let weights = takeArray(block, name, shape, Float32Array);
  let isCopied = false;
  for (let at = 0; at < weights.length; at++) {
    if (weights[at]! >= 0 && weights[at]! < Infinity) continue;
    if (!isCopied) weights = weights.slice();
    isCopied = true;
    weights[at] = 0;
  }
  return weights;
}

/** Weak weights as bytes, and behind each IS_STRONG the next of the strong ones. */
function readBytes(block: Block, n: number, codes: Uint8Array): Float32Array {
  const strong = takeArray(block, `strong.${n}`, [-1], Uint16Array);
  const table = Float32Array.from({ length: 256 }, (_, byte) => (byte / WEAK_STEPS) ** 2);
  const weights = new Float32Array(codes.length);
  let next = 0;
  for (let at = 0; at < codes.length; at++) {
    const byte = codes[at]!;
    weights[at] = byte === IS_STRONG ? (strong[next++]! / 65535) ** 2 : table[byte]!;
  }
  if (next !== strong.length) throw new FormatFault(`Call ${n} has ${strong.length} strong weights, but its codes name ${next}.`);
  return weights;
}

function readKeys(block: Block, n: number, shape: readonly number[], keys: number): Int32Array {
  const found = takeArray(block, `key.${n}`, shape, Int32Array);
  for (const key of found) {
    if (key < -1 || key >= keys) throw new FormatFault(`Call ${n} keeps key ${key}, but has ${keys} keys.`);
  }
  return found;
}
