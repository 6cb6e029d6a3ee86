/** Edges as columns. */

export const ATTENTION = 0; // within a plane, or undirected
export const VALUE = 1; // from a key in one plane to a query in the next
export const CROSS = 2; // from a key in another side's last plane to a query in the next plane
export const RESIDUAL = 3;
export const ANSWER = 4;
export const FORWARD = 5; // half of the spindle that stands for a feed-forward block
export const KINDS = 6;

const FIRST_CAPACITY = 1024;

export interface Edge {
  kind: number;
  call: number; // -1: none
  head: number; // -1: mean, or none; for FORWARD which half of the spindle
  query: number; // token of the query side; the answer's number for ANSWER
  key: number; // token of the key side
  from: number; // node
  to: number; // node
  weight: number; // A[query, key]; share of the stream for RESIDUAL and FORWARD; what is added to the score for ANSWER
  reverse: number; // A[key, query]; NaN where there is none, or it was not kept
  mass: number; // attention that the edge holds: weight, or both directions
  lift: number; // weight x visible keys; of two directions the larger
  contribution: number; // NaN where values were not captured
  judged: number; // contribution of a value edge where it is known, else its attention; see judgedWeight
  flat: boolean; // of a uniform head
  sign: number; // of a difference: 1 or -1; 0: it is none
}

/** A growing table of edges. */
export class Edges {
  length = 0;
  kind = new Uint8Array(FIRST_CAPACITY);
  flat = new Uint8Array(FIRST_CAPACITY);
  sign = new Int8Array(FIRST_CAPACITY);
  call = new Int32Array(FIRST_CAPACITY);
  head = new Int32Array(FIRST_CAPACITY);
  query = new Uint32Array(FIRST_CAPACITY);
  key = new Uint32Array(FIRST_CAPACITY);
  from = new Uint32Array(FIRST_CAPACITY);
  to = new Uint32Array(FIRST_CAPACITY);
  weight = new Float32Array(FIRST_CAPACITY);
  reverse = new Float32Array(FIRST_CAPACITY);
  mass = new Float32Array(FIRST_CAPACITY);
  lift = new Float32Array(FIRST_CAPACITY);
  contribution = new Float32Array(FIRST_CAPACITY);
  judged = new Float32Array(FIRST_CAPACITY);

  constructor(capacity = 0) {
    if (capacity > FIRST_CAPACITY) this.resize(capacity);
  }

  add(edge: Omit<Edge, "sign"> & { sign?: number }): void {
    if (this.length === this.kind.length) this.resize(2 * this.length);
    const n = this.length++;
    this.kind[n] = edge.kind;
    this.flat[n] = edge.flat ? 1 : 0;
    this.sign[n] = edge.sign ?? 0;
    this.call[n] = edge.call;
    this.head[n] = edge.head;
    this.query[n] = edge.query;
    this.key[n] = edge.key;
    this.from[n] = edge.from;
    this.to[n] = edge.to;
    this.weight[n] = edge.weight;
    this.reverse[n] = edge.reverse;
    this.mass[n] = edge.mass;
    this.lift[n] = edge.lift;
    this.contribution[n] = edge.contribution;
    this.judged[n] = edge.judged;
  }

  at(n: number): Edge {
    return {
      kind: this.kind[n]!, flat: this.flat[n] === 1, call: this.call[n]!, head: this.head[n]!,
      query: this.query[n]!, key: this.key[n]!, from: this.from[n]!, to: this.to[n]!,
      weight: this.weight[n]!, reverse: this.reverse[n]!, mass: this.mass[n]!, lift: this.lift[n]!,
      contribution: this.contribution[n]!, judged: this.judged[n]!, sign: this.sign[n]!,
    };
  }

  /** What an edge is judged by. */
  measure(n: number): number {
    return this.judged[n]!;
  }

  /** Edges `order[0]`, `order[1]`... as a table of their own. */
  select(order: ArrayLike<number>): Edges {
    const out = new Edges(order.length);
    for (let n = 0; n < order.length; n++) {
      const from = order[n]!;
      out.kind[n] = this.kind[from]!;
      out.flat[n] = this.flat[from]!;
      out.sign[n] = this.sign[from]!;
      out.call[n] = this.call[from]!;
      out.head[n] = this.head[from]!;
      out.query[n] = this.query[from]!;
      out.key[n] = this.key[from]!;
      out.from[n] = this.from[from]!;
      out.to[n] = this.to[from]!;
      out.weight[n] = this.weight[from]!;
      out.reverse[n] = this.reverse[from]!;
      out.mass[n] = this.mass[from]!;
      out.lift[n] = this.lift[from]!;
      out.contribution[n] = this.contribution[from]!;
      out.judged[n] = this.judged[from]!;
    }
    out.length = order.length;
    return out;
  }

  private resize(capacity: number): void {
    const grow = <T extends Uint8Array | Int8Array | Int32Array | Uint32Array | Float32Array>(old: T): T => {
      const out = new (old.constructor as new (length: number) => T)(capacity);
      out.set(old.subarray(0, this.length));
      return out;
    };
    this.kind = grow(this.kind);
    this.flat = grow(this.flat);
    this.sign = grow(this.sign);
    this.call = grow(this.call);
    this.head = grow(this.head);
    this.query = grow(this.query);
    this.key = grow(this.key);
    this.from = grow(this.from);
    this.to = grow(this.to);
    this.weight = grow(this.weight);
    this.reverse = grow(this.reverse);
    this.mass = grow(this.mass);
    this.lift = grow(this.lift);
    this.contribution = grow(this.contribution);
    this.judged = grow(this.judged);
  }
}
