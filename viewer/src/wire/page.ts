/** The page block: titles, and frames that are unpacked only when they are chosen. */

import { asRecord, isCount, readBlock, type Block } from "./block";
import { FormatFault } from "./fault";

// The format of page and scene blocks that this viewer reads.
export const FORMAT = 1;
// Frames of one page: steps of a long training run.
const MOST_FRAMES = 100_000;

const GROUPS = ["example", "step", "generation", "other"] as const;

export interface FrameEntry {
  readonly id: number; // one frame keeps its number from page to page; -1 = it has none
  readonly label: string;
  readonly group: (typeof GROUPS)[number];
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly example: number; // of its trace's batch
  readonly against: number | null; // the frame that stands beside it
  readonly tokens: readonly number[]; // of each side
  readonly marks: Readonly<Record<string, number>>; // of a step, drawn as a line over all of them
}

export interface Page {
  readonly title: string;
  readonly note: string;
  readonly createdBy: string;
  readonly frames: readonly FrameEntry[];
  readonly view: Readonly<Record<string, unknown>>; // the state that it opens with
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

/** A list of as many texts as another, or that other. */
export function asTexts(value: unknown, other: readonly string[]): readonly string[] {
  return Array.isArray(value) && value.length === other.length && value.every((text) => typeof text === "string") ? (value as string[]) : other;
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
    view: asRecord(block.meta["view"]) ?? {},
    frames: frames.map((value: unknown, n) => readFrame(value, n, block, before, frames.length)),
  };
}

function readFrame(value: unknown, n: number, block: Block, before: Page | null, frames: number): FrameEntry {
  const entry = asRecord(value);
  const id = isCount(entry?.["id"]) ? entry["id"] : -1;
  const held = id < 0 ? undefined : before?.frames.find((frame) => frame.id === id);
  const name = entry?.["array"];
  const array = typeof name === "string" ? block.arrays.get(name) : undefined;
  const bytes = array?.data ?? held?.bytes;
  if (!entry || !(bytes instanceof Uint8Array)) {
    throw new FormatFault(`Frame ${n} names no array of bytes in the page.`);
  }
  const { number, against, tokens, example } = entry;
  const marks = Object.entries(asRecord(entry["marks"]) ?? {}).filter(([, mark]) => typeof mark === "number" && Number.isFinite(mark));
  return {
    id,
    label: asText(entry["label"]) || `frame ${n + 1}`,
    group: GROUPS.find((group) => group === entry["group"]) ?? "example",
    number: isCount(number) ? number : n + 1,
    bytes,
    example: isCount(example) ? example : 0,
    against: isCount(against) && against < frames && against !== n ? against : null,
    tokens: Array.isArray(tokens) ? tokens.map((count: unknown) => (isCount(count) ? count : 0)) : [],
    marks: Object.fromEntries(marks) as Record<string, number>,
  };
}
