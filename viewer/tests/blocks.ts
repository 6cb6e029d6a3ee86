/** Blocks made by hand for tests: the same bytes that the Python side writes. */

type Numbers = Float32Array | Uint16Array | Uint8Array | Int32Array | Uint32Array;

const DTYPES = new Map<unknown, string>([
  [Float32Array, "F32"], [Uint32Array, "U32"], [Int32Array, "I32"], [Uint16Array, "U16"], [Uint8Array, "U8"],
]);

export type Arrays = Record<string, { shape: number[]; data: Numbers }>;

/** Pack arrays and a description; `change` may spoil the header before it is written. */
export function pack(arrays: Arrays, meta: unknown, change: (header: Record<string, any>) => void = () => {}): Uint8Array {
  const names = Object.keys(arrays).sort((a, b) => arrays[b]!.data.BYTES_PER_ELEMENT - arrays[a]!.data.BYTES_PER_ELEMENT);
  const header: Record<string, unknown> = { __metadata__: { headscape: JSON.stringify(meta) } };
  let at = 0;
  for (const name of names) {
    const { shape, data } = arrays[name]!;
    header[name] = { dtype: DTYPES.get(data.constructor), shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  change(header);
  let text = JSON.stringify(header);
  let head = new TextEncoder().encode(text);
  while (head.length % 8) head = new TextEncoder().encode((text += " "));
  const out = new Uint8Array(8 + head.length + at);
  new DataView(out.buffer).setBigUint64(0, BigInt(head.length), true);
  out.set(head, 8);
  let to = 8 + head.length;
  for (const name of names) {
    const { data } = arrays[name]!;
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to);
    to += data.byteLength;
  }
  return out;
}

export interface SmallScene {
  weights: number[][][]; // (head, query, key)
  norms?: number[][]; // (head, key)
  padded?: number[];
  tokens?: string[];
  visible?: number[][];
  top?: { keys: number[][][]; weights: number[][][]; kept: number[][] };
  parts?: number[][]; // (class, token)
  said?: Record<string, unknown>; // what else the call says of itself
}

/** A scene of one self-attention call over one side. */
export function smallScene(scene: SmallScene): { arrays: Arrays; meta: Record<string, any> } {
  const heads = scene.weights.length;
  const queries = scene.weights[0]!.length;
  const keys = scene.weights[0]![0]!.length;
  const tokens = scene.tokens ?? Array.from({ length: keys }, (_, n) => `t${n}`);
  const visible = scene.visible ?? scene.weights.map((rows) => rows.map((row) => row.filter((w) => w > 0).length));
  const flat = (values: number[][][]) => values.flat(2);
  const arrays: Arrays = {
    "visible.0": { shape: [heads, queries], data: Int32Array.from(visible.flat()) },
    "entropy.0": { shape: [heads, queries], data: new Float32Array(heads * queries) },
    "flow.0": { shape: [4, queries], data: new Float32Array(4 * queries).fill(1) },
  };
  if (scene.top) {
    const k = scene.top.keys[0]![0]!.length;
    arrays["weight.0"] = { shape: [heads, queries, k], data: Float32Array.from(flat(scene.top.weights)) };
    arrays["key.0"] = { shape: [heads, queries, k], data: Int32Array.from(flat(scene.top.keys)) };
    arrays["kept.0"] = { shape: [heads, queries], data: Float32Array.from(scene.top.kept.flat()) };
  } else arrays["weight.0"] = { shape: [heads, queries, keys], data: Float32Array.from(flat(scene.weights)) };
  if (scene.norms) arrays["value_norm.0"] = { shape: [heads, keys], data: Float32Array.from(scene.norms.flat()) };
  if (scene.parts) arrays["class"] = { shape: [scene.parts.length, tokens.length], data: Float32Array.from(scene.parts.flat()) };
  const numbers = (scene.parts ?? []).map(() => 0.5);
  const meta = {
    format: 1, kind: "scene", model: "Small", warnings: [],
    sides: [{ name: "tokens", tokens, padded: scene.padded ?? [], planes: 2, grid: null, has_patches: false, unpictured: [] }],
    calls: [{
      path: "attn", site: "attn", layer: 0, kind: "self", source: "written", query_side: 0, key_side: 0, plane: 0,
      heads, queries, keys, k: scene.top ? scene.top.keys[0]![0]!.length : null, code: "f32", nan_rows: 0,
      ...scene.said,
    }],
    outputs: scene.parts
      ? { kind: "classes", side: 0, names: scene.parts.map((_, n) => `class ${n}`), scores: numbers, probabilities: numbers, base: numbers, method: "exact", truth: null }
      : null,
  };
  return { arrays, meta };
}
