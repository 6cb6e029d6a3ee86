/** The model's answer within a scene block. */

import { asRecord, isCount, takeArray, type Block } from "./block";
import { FormatFault } from "./fault";
import { asText, asTexts } from "./page";
import type { SideData } from "./scene";

export interface OutputsData {
  readonly kind: string; // "classes" | "next tokens"
  readonly side: number;
  readonly names: readonly string[]; // as a person writes them
  readonly raw: readonly string[]; // as the tokenizer does
  readonly scores: readonly number[]; // logits; NaN where unknown or not finite
  readonly probabilities: readonly number[];
  readonly base: readonly number[];
  readonly method: string; // "exact" | "gradient x activation" | "none"
  readonly truth: string | null;
  readonly contribution: Float32Array | null; // (class, token)
}

/** Read the answer; null if the model gave none that was seen. */
export function readOutputs(block: Block, sides: readonly SideData[]): OutputsData | null {
  const outputs = asRecord(block.meta["outputs"]);
  if (!outputs) return null;
  const { side, names, truth } = outputs;
  if (!isCount(side) || !sides[side]) throw new FormatFault("The answer belongs to a side that is not there.");
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
    throw new FormatFault("The answer has no list of names.");
  }
  const numbers = (name: string): number[] => {
    const values = outputs[name];
    if (!Array.isArray(values) || values.length !== names.length) {
      throw new FormatFault(`The answer has ${names.length} names but not as many ${name}.`);
    }
    return values.map((value: unknown) => (typeof value === "number" ? value : Number.NaN));
  };
  const tokens = sides[side].tokens.length;
  return {
    kind: asText(outputs["kind"]) || "classes",
    side,
    names: names as string[],
    raw: asTexts(outputs["raw"], names as string[]),
    scores: numbers("scores"),
    probabilities: numbers("probabilities"),
    base: numbers("base"),
    method: asText(outputs["method"]) || "none",
    truth: typeof truth === "string" ? truth : null,
    contribution: block.arrays.has("class") ? takeArray(block, "class", [names.length, tokens], Float32Array) : null,
  };
}
