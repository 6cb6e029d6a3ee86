/** What is taken away from the model, and what came of it: asked of Python, or found in the page. No element is touched here. */

import { ATTENTION, CROSS, VALUE, type Edge } from "../scene/edges";
import { queryShift } from "../scene/rows";
import { KNOCK_WAYS, readKnockOut, type KnockOut, type KnockWay, type Target } from "../wire/findings";
import type { Model, Selection } from "./model";
import { readSelection } from "./state";

/** What a kernel is asked. */
export type Request = Target & { readonly by: KnockWay; readonly example: number; readonly frame: number };
export type Ask = (request: Request) => Promise<unknown>;

const NOWHERE = { call: null, head: null, query: null, key: null, side: null };

/** One head of one call that is looked at alone; null where several are. */
export function focusedHead({ choice, scene, selection }: Model): { call: number; head: number } | null {
  if (selection) return selection.kind === "edge" && isWeight(selection.edge) && selection.edge.head >= 0 ? selection.edge : null;
  const inFocus = { call: choice.layer, head: choice.head };
  if ((choice.view === "matrix" && choice.matrix === "head") || choice.view === "neuron") return inFocus;
  if (choice.solo && choice.view !== "matrix" && choice.view !== "heads") return choice.solo;
  return choice.view === "layer" && scene.calls[choice.layer]?.heads === 1 ? { ...inFocus, head: 0 } : null;
}

function isWeight({ kind }: Edge): boolean {
  return kind === ATTENTION || kind === VALUE || kind === CROSS;
}

const keyOf = ({ kind, call, head, query, key, side }: Target, by: KnockWay) => [kind, call, head, query, key, side ?? 0, by].join();

export class Knocking {
  by: KnockWay = "zero";
  out: Target | null = null; // what is shown as taken away
  ask: Ask | null = null; // of a live notebook
  isWaiting = false; // for the kernel
  private answers = new Map<string, KnockOut>(); // of the kernel
  private next: (() => void) | null = null; // what is asked once the kernel has answered

  constructor(private readonly model: Model) {}

  /** What the selection, or the head in focus, is called in Python; null where it cannot be taken away. */
  target(): Target | null {
    const { model } = this;
    const { selection, scene } = model;
    if (model.frame < 0 || scene.before) return null;
    if (selection?.kind === "token") return { ...NOWHERE, kind: "token", key: selection.token, side: selection.side };
    if (selection?.kind === "edge") return this.edgeTarget(selection.edge);
    const head = selection ? null : focusedHead(model);
    return head && { ...NOWHERE, kind: "head", call: head.call, head: head.head };
  }

  /** An edge as a row and a key of its call; of an edge that stands for both directions, the one that is known of. */
  private edgeTarget(edge: Edge): Target | null {
    const { scene, page, frame } = this.model;
    const call = scene.calls[edge.call];
    // Rows of earlier passes are of other traces.
    if (!call || !isWeight(edge) || page.frames[frame]!.group === "generation") return null;
    const shift = queryShift(call, scene.sides[call.querySide]!.tokens.length);
    const head = edge.head < 0 ? null : edge.head;
    const one = (query: number, key: number): Target => ({ ...NOWHERE, kind: "edge", call: edge.call, head, query: query - shift, key });
    const [there, back] = [one(edge.query, edge.key), one(edge.key, edge.query)];
    const isKnown = (target: Target) => scene.knockOuts.some((known) => keyOf(known, known.by) === keyOf(target, known.by));
    return edge.kind === ATTENTION && !isKnown(there) && isKnown(back) ? back : there;
  }

  /** What came of taking something away; null: not known. */
  found(target: Target, by = this.by): KnockOut | null {
    const { answers, model } = this;
    const live = answers.get(`${model.frame} ${keyOf(target, by)}`);
    return live ?? model.scene.knockOuts.find((known) => keyOf(known, known.by) === keyOf(target, by)) ?? null;
  }

  /** Ways of taking something away whose outcome is known, or can be asked for. */
  ways(target: Target): KnockWay[] {
    // What is left of a head that is gone has nothing to be scaled up.
    return KNOCK_WAYS.filter((by) => (this.ask !== null && (by !== "renormalise" || target.kind !== "head")) || this.found(target, by) !== null);
  }

  /** Take away what is selected, or put it back; returns whether that could be done. */
  toggle(): boolean {
    const target = this.target();
    if (!target || !this.ways(target).length) return false;
    this.out = this.out ? null : target;
    if (this.out) this.choose(this.ways(target).includes(this.by) ? this.by : this.ways(target)[0]!);
    else this.model.redraw();
    return true;
  }

  choose(by: KnockWay): void {
    this.by = by;
    if (this.out && !this.found(this.out)) this.request(this.out);
    this.model.redraw();
  }

  /** Forget all answers: the page holds other data. */
  forget(): void {
    this.answers = new Map();
    this.out = null;
  }

  /** Forget what was taken away once something else is in focus. */
  follow(): boolean {
    const target = this.target();
    if (!this.out || (target && keyOf(target, "zero") === keyOf(this.out, "zero"))) return false;
    this.out = null;
    return true;
  }

  /** Ask the kernel: one question at a time, and of those that wait only the newest. */
  private request(target: Target): void {
    const { ask, by, model, answers } = this;
    const { frame } = model;
    if (!ask) return;
    const key = `${frame} ${keyOf(target, by)}`;
    const send = () => {
      this.isWaiting = true;
      this.next = null;
      const request = { ...target, by, frame, example: model.page.frames[frame]!.example };
      void ask(request).catch((fault: unknown) => ({ error: String(fault) })).then((said) => {
        const answer = readKnockOut({ ...request, ...(said as object) });
        // An error may pass: it is shown, and asked for again at the next press.
        for (const [old, { error }] of answers) if (error) answers.delete(old);
        if (answer) answers.set(key, answer);
        this.isWaiting = false;
        if (this.next) this.next();
        else this.model.redraw();
      });
    };
    if (this.isWaiting) this.next = send;
    else send();
  }

  /** Tell whether an edge ends with what is taken away. */
  takes(edge: Pick<Edge, "kind" | "call" | "head" | "query" | "key">): boolean {
    const { out, model } = this;
    const call = out && model.scene.calls[edge.call];
    if (!call || !isWeight(edge as Edge)) return false;
    if (out.kind === "token") return (call.keySide === out.side && edge.key === out.key) || (call.querySide === out.side && edge.query === out.key);
    if (out.call !== edge.call || (out.head !== null && out.head !== edge.head)) return false;
    const query = (out.query ?? 0) + queryShift(call, model.scene.sides[call.querySide]!.tokens.length);
    const isPair = (a: number, b: number) => a === query && b === out.key;
    return out.kind === "head" || isPair(edge.query, edge.key) || (edge.kind === ATTENTION && isPair(edge.key, edge.query));
  }

  /** Go to what a knock-out of the page took away, and take it away. */
  show(known: KnockOut): void {
    const { model } = this;
    const { kind, call, head, key, side } = known;
    if (kind === "token") {
      model.select(readSelection({ kind, side: side ?? 0, token: key }, model) ?? null);
    } else if (kind === "head") {
      const isMatrix = model.choice.view === "matrix";
      model.select(null);
      model.choose(isMatrix || model.choice.view === "neuron" || model.choice.view === "heads"
        ? { layer: call!, head: head!, matrix: "head", ...(model.choice.view === "heads" && { view: "matrix" as const }) }
        : { solo: { call: call!, head: head! }, layer: call! });
    } else {
      const selection = this.selectionOf(known) ?? (model.choose({ solo: head === null ? null : { call: call!, head }, layersOff: new Set() }), this.selectionOf(known));
      model.select(selection ?? null);
    }
    this.by = known.by;
    if (!this.out && this.target()) this.toggle();
  }

  private selectionOf({ call, head, query, key }: KnockOut): Selection | null | undefined {
    const { model } = this;
    const found = model.scene.calls[call ?? -1];
    if (!found) return null;
    const token = query! + queryShift(found, model.scene.sides[found.querySide]!.tokens.length);
    const edge = (a: number, b: number) => readSelection({ kind: "edge", edge: { call, head: head ?? -1, query: a, key: b } }, model);
    return edge(token, key!) ?? edge(key!, token);
  }
}

/** By how much a knock-out changes what the model says; -1: not known. */
export function sizeOf({ change, answers }: KnockOut): number {
  return change === change ? Math.abs(change) : Math.max(-1, ...answers.map(({ before, after }) => Math.abs(after - before)).filter(Number.isFinite));
}
