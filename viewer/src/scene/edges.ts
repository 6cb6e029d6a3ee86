/** Edges as columns. */

export const ATTENTION = 0; // within a plane, or undirected
export const VALUE = 1; // from a key in one plane to a query in the next
export const CROSS = 2; // from a key in another side's last plane to a query in the next plane
export const RESIDUAL = 3;
export const ANSWER = 4;
export const KINDS = 5;

const FLOATS = ["weight", "reverse", "mass", "lift", "contribution"] as const;
const FIRST_CAPACITY = 1024;

export interface Edge {
  kind: number;
  call: number; // -1: none
  head: number; // -1: mean, or none
  query: number; // token of the query side; the answer's number for ANSWER
  key: number; // token of the key side
  from: number; // node
  to: number; // node
  weight: number; // A[query, key]; share of the stream for RESIDUAL; what is added to the score for ANSWER
  reverse: number; // A[key, query]; NaN where there is none, or it was not kept
  mass: number; // attention that the edge holds: weight, or both directions
  lift: number; // weight x visible keys; of two directions the larger
  contribution: number; // NaN where values were not captured
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
    for (const name of FLOATS) this[name][n] = edge[name];
  }

  at(n: number): Edge {
    return {
      kind: this.kind[n]!, flat: this.flat[n] === 1, call: this.call[n]!, head: this.head[n]!,
      query: this.query[n]!, key: this.key[n]!, from: this.from[n]!, to: this.to[n]!,
      weight: this.weight[n]!, reverse: this.reverse[n]!, mass: this.mass[n]!, lift: this.lift[n]!,
      contribution: this.contribution[n]!, sign: this.sign[n]!,
    };
  }

  /** What an edge is judged by: the contribution of a value edge where it is known, else its attention. */
  measure(n: number): number {
    const contribution = this.contribution[n]!;
    return this.kind[n] === VALUE && contribution === contribution ? contribution : this.mass[n]!;
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
      for (const name of FLOATS) out[name][n] = this[name][from]!;
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
    for (const name of FLOATS) this[name] = grow(this[name]);
  }
}
