/** What analyses found in a scene: roles of heads, and what the model says without one of its parts. */

import { asRecord, isCount } from "./block";
import { asText } from "./page";

export interface Role {
  readonly name: string;
  readonly evidence: string;
}

export const KNOCK_KINDS = ["head", "edge", "token"] as const;
export const KNOCK_WAYS = ["zero", "renormalise", "mean"] as const;
export type KnockWay = (typeof KNOCK_WAYS)[number];

/** What is taken away; numbers are those of Python's trace: a query is a row of its call. */
export interface Target {
  readonly kind: (typeof KNOCK_KINDS)[number];
  readonly call: number | null;
  readonly head: number | null; // of an edge: null is all heads
  readonly query: number | null;
  readonly key: number | null; // of a token: the token
  readonly side: number | null; // of a token; null: the first
}

export interface AnswerMove {
  readonly name: string;
  readonly before: number; // probability; NaN: not known
  readonly after: number;
  readonly logits: readonly [number, number];
}

export interface KnockOut extends Target {
  readonly by: KnockWay;
  readonly answers: readonly AnswerMove[];
  readonly change: number; // of the output; NaN: not known
  readonly note: string;
  readonly error: string;
}

// Python writes at most a thousand of these, with a dozen answers each.
const MOST_LISTED = 5000;
const MOST_ANSWERS = 20;

const asNumber = (value: unknown) => (typeof value === "number" ? value : Number.NaN);
const asPlace = (value: unknown) => (isCount(value) ? value : null);

/** Key of a head in a map of roles. */
export function headKey(call: number, head: number): string {
  return `${call} ${head}`;
}

export function readRoles(value: unknown): Map<string, Role> {
  const roles = new Map<string, Role>();
  for (const entry of Array.isArray(value) ? (value as unknown[]) : []) {
    const [call, head, name, evidence] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (isCount(call) && isCount(head) && asText(name)) roles.set(headKey(call, head), { name: asText(name), evidence: asText(evidence) });
  }
  return roles;
}

export function readKnockOuts(value: unknown): KnockOut[] {
  return Array.isArray(value) ? value.slice(0, MOST_LISTED).flatMap((one: unknown) => readKnockOut(one) ?? []) : [];
}

/** One knock-out; null if it does not say what was removed. */
export function readKnockOut(value: unknown): KnockOut | null {
  const said = asRecord(value);
  const kind = KNOCK_KINDS.find((one) => one === said?.["kind"]);
  if (!said || !kind) return null;
  const { answers } = said;
  return {
    kind, call: asPlace(said["call"]), head: asPlace(said["head"]), query: asPlace(said["query"]), key: asPlace(said["key"]), side: asPlace(said["side"]),
    by: KNOCK_WAYS.find((one) => one === said["by"]) ?? "zero",
    answers: (Array.isArray(answers) ? answers.slice(0, MOST_ANSWERS) : []).map((answer: unknown) => {
      const { name, before, after, logit_before, logit_after } = asRecord(answer) ?? {};
      return { name: asText(name), before: asNumber(before), after: asNumber(after), logits: [asNumber(logit_before), asNumber(logit_after)] };
    }),
    change: asNumber(said["output_change"]), note: asText(said["note"]), error: asText(said["error"]),
  };
}
