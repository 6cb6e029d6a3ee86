/** What each head is known by, and orders of heads by it. */

import { quantity, signed } from "../maths/digits";
import { headKey, type Role } from "../wire/findings";
import type { CallData, SceneData } from "../wire/scene";
import type { Choice, HeadOrder } from "./choice";
import { isFlatHead, rowWidth } from "./rows";

export type MeasureName = Exclude<HeadOrder, "layer" | "role">;

export interface Measure {
  readonly label: string;
  readonly unit: string;
  readonly formula: string;
}

/** The first four stand in this order in a call's `measures`, worked out over all keys before any were dropped. */
export const MEASURES: Readonly<Record<MeasureName, Measure>> = {
  entropy: { label: "entropy", unit: "bits", formula: "−Σ w log₂ w over a row's keys, mean over rows: 0 = one key, log₂ n = n keys alike" },
  distance: { label: "distance", unit: "tokens", formula: "Σ w · |query − key| over a row's keys, mean over rows" },
  sink: { label: "sink", unit: "of a row", formula: "share of a row on the first real token, mean over rows" },
  contribution: { label: "contribution", unit: "", formula: "Σ w · ‖v W_O‖ over a row's keys, mean over rows: what the head's values carry" },
  change: { label: "change", unit: "of a row", formula: "½ Σ |after − before| over a row's keys, mean over rows: the share of attention that moved" },
};
export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];

export interface HeadFacts {
  readonly call: number;
  readonly head: number;
  readonly values: Readonly<Record<MeasureName, number>>; // NaN: not known; of a comparison: after − before
  readonly isUniform: boolean;
  readonly largest: number; // weight
  readonly role: Role | null;
}

const known = new WeakMap<SceneData, HeadFacts[]>();

/** Facts of every head of a scene, in order of layer and head. */
export function headFacts(scene: SceneData): HeadFacts[] {
  let facts = known.get(scene);
  if (!facts) {
    facts = scene.calls.flatMap((call) => Array.from({ length: call.heads }, (_, head) => factsOf(scene, call, head)));
    known.set(scene, facts);
  }
  return facts;
}

/** What is known of a head, measure by measure, in words. */
export function sayFacts(facts: HeadFacts, isChange: boolean): string[] {
  const role = facts.role ? [sayRole(facts.role)] : [];
  return role.concat(MEASURE_NAMES.filter((name) => name !== "change" || isChange).map((name) => {
    const { label, unit } = MEASURES[name];
    return `${label} ${writeMeasure(facts, name, isChange)} ${unit}`.trim();
  }));
}

/** A role and what speaks for it. */
export function sayRole({ name, evidence }: Role): string {
  return evidence ? `${name} (${evidence})` : name;
}

/** A measure as text; of a comparison with its sign. */
export function writeMeasure({ values }: HeadFacts, name: MeasureName, isChange: boolean): string {
  return isChange && name !== "change" ? signed(values[name]) : quantity(values[name]);
}

function factsOf(scene: SceneData, call: CallData, head: number): HeadFacts {
  const before = scene.before?.calls[call.number];
  const after = scene.after?.calls[call.number];
  const [entropy, distance, sink, contribution] = [0, 1, 2, 3].map((n) => {
    const value = (of: CallData) => of.measures?.[n * of.heads + head] ?? Number.NaN;
    return before && after ? value(after) - value(before) : value(call);
  }) as [number, number, number, number];
  const size = call.queries * rowWidth(call);
  let [sum, largest] = [0, 0];
  for (let n = head * size; n < (head + 1) * size; n++) {
    const weight = call.weight[n]!;
    sum += weight;
    if (weight > largest) largest = weight;
  }
  const rows = call.visible.subarray(head * call.queries, (head + 1) * call.queries).reduce((seen, n) => seen + (n > 0 ? 1 : 0), 0);
  return {
    call: call.number, head, largest, role: scene.roles.get(headKey(call.number, head)) ?? null,
    values: { entropy, distance, sink, contribution, change: before && rows ? sum / 2 / rows : Number.NaN },
    isUniform: !before && isFlatHead(call, head),
  };
}

/** Heads as a choice orders them: the largest first, of a comparison the largest change of either sign; roles by name. */
export function orderHeads(heads: readonly HeadFacts[], choice: Pick<Choice, "order" | "ranked">, isChange: boolean): HeadFacts[] {
  const { order, ranked } = choice;
  if (order === "layer") return [...heads];
  if (order === "role") return [...heads].sort((a, b) => compareRoles(a.role, b.role));
  const size = ({ values }: HeadFacts) => {
    const value = isChange ? Math.abs(values[order]) : values[order];
    return value === value ? value : -Infinity;
  };
  const layer = (one: HeadFacts) => (ranked === "layers" ? one.call : 0);
  return [...heads].sort((a, b) => layer(a) - layer(b) || (size(a) === size(b) ? 0 : size(b) - size(a)));
}

/** Names in the order of letters; heads without a role come last. */
function compareRoles(a: Role | null, b: Role | null): number {
  if (!a || !b) return Number(!a) - Number(!b);
  return a.name < b.name ? -1 : Number(a.name > b.name);
}
