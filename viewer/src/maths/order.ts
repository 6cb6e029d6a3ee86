/** Orders of numbers: sorting by a float key, places and cumulative shares. */

const RADIX_BITS = 11;
const BUCKETS = 1 << RADIX_BITS;

/** Map floats to unsigned integers of the same order; NaN comes last. */
function sortableBits(values: Float32Array): Uint32Array {
  const bits = new Uint32Array(values.length);
  bits.set(new Uint32Array(values.buffer, values.byteOffset, values.length));
  for (let n = 0; n < bits.length; n++) {
    const b = bits[n]!;
    const isNaNBits = (b & 0x7fffffff) > 0x7f800000;
    bits[n] = isNaNBits ? 0xffffffff : b >>> 31 ? ~b : b | 0x80000000;
  }
  return bits;
}

/** Return indices in rising order of `values`; equal values keep their order. Linear in their number. */
export function risingOrder(values: Float32Array): Uint32Array {
  const bits = sortableBits(values);
  let from = new Uint32Array(values.length);
  for (let n = 0; n < from.length; n++) from[n] = n;
  let to = new Uint32Array(values.length);
  for (let shift = 0; shift < 32; shift += RADIX_BITS) {
    const starts = new Uint32Array(BUCKETS + 1);
    for (let n = 0; n < bits.length; n++) starts[((bits[n]! >>> shift) & (BUCKETS - 1)) + 1]!++;
    for (let b = 0; b < BUCKETS; b++) starts[b + 1]! += starts[b]!;
    for (let n = 0; n < from.length; n++) {
      const index = from[n]!;
      const bucket = (bits[index]! >>> shift) & (BUCKETS - 1);
      to[starts[bucket]!++] = index;
    }
    [from, to] = [to, from];
  }
  return from;
}

/** Return indices by rising `group`, within a group by falling value; equal values keep their order. */
function groupedFallingOrder(group: Uint32Array, values: Float32Array, groups: number): Uint32Array {
  const byValue = fallingOrder(values);
  const starts = new Uint32Array(groups + 1);
  for (const g of group) starts[g + 1]!++;
  for (let g = 0; g < groups; g++) starts[g + 1]! += starts[g]!;
  const order = new Uint32Array(values.length);
  for (const index of byValue) order[starts[group[index]!]!++] = index;
  return order;
}

/** Return indices by falling value; equal values keep their order. */
export function fallingOrder(values: Float32Array): Uint32Array {
  const negative = new Float32Array(values.length);
  for (let n = 0; n < values.length; n++) negative[n] = -values[n]!;
  return risingOrder(negative);
}

/** Place of each value in its group, 0 for the largest; `order` is by falling value. */
export function fallingPlaces(group: Uint32Array, order: Uint32Array, groups: number): Float32Array {
  const places = new Float32Array(order.length);
  const next = new Uint32Array(groups);
  for (let n = 0; n < order.length; n++) places[order[n]!] = next[group[order[n]!]!]!++;
  return places;
}

/** Share of the group's values that are no larger than each one, in (0, 1]; equal values share a rank. */
export function rankShares(group: Uint32Array, values: Float32Array, groups: number): Float32Array {
  const order = groupedFallingOrder(group, values, groups);
  const ranks = new Float32Array(values.length);
  let start = 0;
  while (start < order.length) {
    const g = group[order[start]!]!;
    let end = start;
    while (end < order.length && group[order[end]!] === g) end++;
    let run = start;
    for (let n = start; n < end; n++) {
      if (values[order[n]!] !== values[order[run]!]) run = n;
      ranks[order[n]!] = (end - run) / (end - start);
    }
    start = end;
  }
  return ranks;
}
