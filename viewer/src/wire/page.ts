/** The page block: titles, and frames that are unpacked only when they are chosen. */

import { asRecord, isCount, readBlock, type Block } from "./block";
import { FormatFault } from "./fault";

// The format of page and scene blocks that this viewer reads.
export const FORMAT = 1;
// Frames of one page: steps of a long training run.
const MOST_FRAMES = 100_000;

export interface FrameEntry {
  readonly id: number; // one frame keeps its number from page to page; -1 = it has none
  readonly label: string;
  readonly group: "example" | "step";
  readonly number: number;
  readonly bytes: Uint8Array;
}

export interface Page {
  readonly title: string;
  readonly note: string;
  readonly createdBy: string;
  readonly frames: readonly FrameEntry[];
}

/** Throw unless the block is of the wanted kind and of a format that is known here. */
export function expectKind(block: Block, kind: "page" | "scene"): void {
  const { format, kind: seen, created_by: by } = block.meta;
  if (seen !== kind) throw new FormatFault(`The data is a ${String(seen)} block; a ${kind} block is needed.`);
  if (format !== FORMAT) {
    const made = typeof by === "string" && by ? ` (made by ${by})` : "";
    throw new FormatFault(
      `The data has format ${String(format)}${made}; this viewer reads format ${FORMAT}. ` +
        "Write the page again with the headscape that is installed.",
    );
  }
}

export function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Read a page block; frames that `before` holds need not be sent again. */
export function readPage(bytes: Uint8Array, before: Page | null = null): Page {
  const block = readBlock(bytes);
  expectKind(block, "page");
  const { title, note, created_by: createdBy, frames } = block.meta;
  if (!Array.isArray(frames) || frames.length === 0 || frames.length > MOST_FRAMES) {
    throw new FormatFault("The page lists no frames, so there is nothing to show. Write it again from a trace.");
  }
  return {
    title: asText(title) || "Attention",
    note: asText(note),
    createdBy: asText(createdBy),
    frames: frames.map((value: unknown, n) => readFrame(value, n, block, before)),
  };
}

function readFrame(value: unknown, n: number, block: Block, before: Page | null): FrameEntry {
  const entry = asRecord(value);
  const id = isCount(entry?.["id"]) ? entry["id"] : -1;
  const held = id < 0 ? undefined : before?.frames.find((frame) => frame.id === id);
  if (held) return held;
  const name = entry?.["array"];
  const array = typeof name === "string" ? block.arrays.get(name) : undefined;
  if (!entry || !array || !(array.data instanceof Uint8Array)) {
    throw new FormatFault(`Frame ${n} names no array of bytes in the page.`);
  }
  const number = entry["number"];
  return {
    id,
    label: asText(entry["label"]) || `frame ${n + 1}`,
    group: entry["group"] === "step" ? "step" : "example",
    number: isCount(number) ? number : n + 1,
    bytes: array.data,
  };
}
