/** The byte block: a JSON header and typed arrays. The bytes may come from anywhere and are not trusted. */

import { FormatFault } from "./fault";

export type TypedArray = Float32Array | Uint32Array | Int32Array | Uint16Array | Uint8Array;
export type Dtype = "F32" | "U32" | "I32" | "U16" | "U8";

export interface BlockArray {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

export interface Block {
  readonly arrays: ReadonlyMap<string, BlockArray>;
  readonly meta: Readonly<Record<string, unknown>>;
}

const SIZES: Record<Dtype, number> = { F32: 4, U32: 4, I32: 4, U16: 2, U8: 1 };
// What the safetensors format itself allows for a header.
const LONGEST_HEADER = 100 * 1024 * 1024;
// A browser tab cannot hold more in one array buffer.
export const LONGEST_BLOCK = 2 ** 31 - 1;
const MOST_ARRAYS = 100_000;

/** Return `value` as a record, or undefined if it is none. */
export function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Read a block; throws FormatFault that names the part that is wrong. */
export function readBlock(bytes: Uint8Array, limit = LONGEST_BLOCK): Block {
  if (bytes.length > limit) {
    throw new FormatFault(`The data has ${bytes.length} bytes; at most ${limit} are read.`);
  }
  if (bytes.length < 8) throw new FormatFault(`The data has ${bytes.length} bytes; even an empty block has more than 8.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > Math.min(LONGEST_HEADER, bytes.length - 8)) {
    throw new FormatFault(`The data claims a header of ${length} bytes but has ${bytes.length - 8} after its length.`);
  }
  const header = asRecord(parseJson(decodeText(bytes.subarray(8, 8 + length)), "header"));
  if (!header) throw new FormatFault("The data's header is not a JSON object.");
  const said = asRecord(header["__metadata__"])?.["headscape"];
  if (typeof said !== "string") {
    throw new FormatFault("The data has no headscape description, so it is some other safetensors file.");
  }
  const meta = asRecord(parseJson(said, "description"));
  if (!meta) throw new FormatFault("The data's description is not a JSON object.");
  return { arrays: readArrays(header, bytes, 8 + length), meta };
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new FormatFault("The data's header is not UTF-8 text.");
  }
}

function parseJson(text: string, part: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FormatFault(`The data's ${part} is not JSON.`);
  }
}

function readArrays(header: Record<string, unknown>, bytes: Uint8Array, start: number): Map<string, BlockArray> {
  const arrays = new Map<string, BlockArray>();
  const spans: [number, number][] = [];
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  if (names.length > MOST_ARRAYS) throw new FormatFault(`The data lists ${names.length} arrays; ${MOST_ARRAYS} at most.`);
  for (const name of names) {
    const [array, span] = readArray(name, header[name], bytes, start);
    arrays.set(name, array);
    spans.push(span);
  }
  let at = 0;
  for (const [begin, end] of spans.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (begin !== at) throw new FormatFault(`The data's arrays overlap or leave a gap at byte ${at}.`);
    at = end;
  }
  if (at !== bytes.length - start) {
    throw new FormatFault(`The data's arrays end at byte ${at} of ${bytes.length - start}; the file may be cut off.`);
  }
  return arrays;
}

function readArray(name: string, value: unknown, bytes: Uint8Array, start: number): [BlockArray, [number, number]] {
  const entry = asRecord(value);
  const [dtype, shape, offsets] = [entry?.["dtype"], entry?.["shape"], entry?.["data_offsets"]];
  if (typeof dtype !== "string" || !Object.hasOwn(SIZES, dtype)) {
    throw new FormatFault(`Array ${name} is ${String(dtype)}; the viewer takes ${Object.keys(SIZES).join(", ")}.`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new FormatFault(`Array ${name} has no shape of whole numbers from 0.`);
  }
  const [begin, end] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  const items = shape.reduce((product: number, n: number) => product * n, 1);
  const size = SIZES[dtype as Dtype];
  const fits = isCount(begin) && isCount(end) && begin <= end && end <= bytes.length - start;
  if (!fits || !Number.isSafeInteger(items) || end - begin !== items * size) {
    throw new FormatFault(
      `Array ${name} of shape ${shape.join(" x ")} (${dtype}) claims bytes ${String(begin)} to ${String(end)} ` +
        `of ${bytes.length - start}. The file may be cut off: write it again.`,
    );
  }
  const data = viewArray(dtype as Dtype, bytes, start + begin, items);
  return [{ dtype: dtype as Dtype, shape, data }, [begin, end]];
}

/** View `length` numbers without a copy where their place in memory allows it. */
function viewArray(dtype: Dtype, bytes: Uint8Array, from: number, length: number): TypedArray {
  const size = SIZES[dtype];
  let at = bytes.byteOffset + from;
  let buffer = bytes.buffer as ArrayBuffer;
  if (at % size !== 0) {
    buffer = buffer.slice(at, at + size * length);
    at = 0;
  }
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, at, length);
    case "U32":
      return new Uint32Array(buffer, at, length);
    case "I32":
      return new Int32Array(buffer, at, length);
    case "U16":
      return new Uint16Array(buffer, at, length);
    case "U8":
      return new Uint8Array(buffer, at, length);
  }
}

/** Return the array's numbers if they have the wanted shape and type; -1 in `shape` fits any length. */
export function takeArray<T extends TypedArray>(
  block: Block, name: string, shape: readonly number[], type: new (length: number) => T,
): T {
  const array = block.arrays.get(name);
  if (!array) throw new FormatFault(`The scene lacks the array ${name}.`);
  const fits = array.shape.length === shape.length && shape.every((n, axis) => n === -1 || n === array.shape[axis]);
  if (!fits || !(array.data instanceof type)) {
    throw new FormatFault(
      `Array ${name} is ${array.dtype} of shape ${array.shape.join(" x ")}; ` +
        `${type.name} of shape ${shape.map((n) => (n < 0 ? "any" : n)).join(" x ")} is needed.`,
    );
  }
  return array.data as unknown as T;
}
