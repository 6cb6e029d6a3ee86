/** How many numbers lie above each size, and what they hold: a histogram by size, without its empty bins. */

// Bins of equal ratio, 128 an octave, from 2^-48 to 2^16: numbers in one bin differ by less than 0.8 %.
export const BINS = 8192;
const SHIFT = 16; // of a float's bits: what is left are its exponent and 7 bits of its fraction
const FIRST = (127 - 48) << 7;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Bin of a number above 0, from 1; larger numbers have larger bins. */
export function binOf(value: number): number {
  float[0] = value;
  const bin = (bits[0]! >>> SHIFT) - FIRST;
  return bin < 1 ? 1 : bin < BINS ? bin : BINS - 1;
}

/** Least number of a bin. */
export function leastOf(bin: number): number {
  bits[0] = (bin + FIRST) << SHIFT;
  return float[0]!;
}

/** The bins that are not empty, largest first; sums are of all bins before. */
export interface Levels {
  readonly bin: Uint16Array;
  readonly count: Float64Array; // one longer than bin
  readonly mass: Float64Array;
  readonly carried: Float64Array;
}

/** Collects numbers into bins; one is enough for many histograms, one after the other. */
export class Tally {
  private readonly count = new Float64Array(BINS);
  private readonly mass = new Float64Array(BINS);
  private readonly carried = new Float64Array(BINS);

  add(bin: number, mass: number, carried: number): void {
    this.count[bin]!++;
    this.mass[bin]! += mass;
    this.carried[bin]! += carried;
  }

  /** Return what was collected, and start anew. */
  take(): Levels {
    const bin: number[] = [];
    for (let b = BINS - 1; b >= 0; b--) if (this.count[b]! > 0) bin.push(b);
    const summed = (values: Float64Array) => {
      const sums = new Float64Array(bin.length + 1);
      bin.forEach((b, n) => (sums[n + 1] = sums[n]! + values[b]!));
      values.fill(0);
      return sums;
    };
    return { bin: Uint16Array.from(bin), count: summed(this.count), mass: summed(this.mass), carried: summed(this.carried) };
  }
}

/** Numbers in all bins. */
export function sizeOf(levels: Levels): number {
  return levels.count.at(-1)!;
}

/** The bin of the `rank`-th largest number (from 1); BINS where there is none. */
export function binAtRank(levels: Levels, rank: number): number {
  if (rank <= 0) return BINS;
  return levels.bin[Math.min(placeOf(levels.count, rank), levels.bin.length - 1)] ?? BINS;
}

/** First n at which sums[n + 1] reaches `wanted`. */
function placeOf(sums: Float64Array, wanted: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle + 1]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many numbers are at least `value`: exact to a bin, and even within it. */
export function countAbove(levels: Levels, value: number): number {
  if (!(value > 0)) return sizeOf(levels);
  const wanted = binOf(value);
  let [low, high] = [0, levels.bin.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (levels.bin[middle]! > wanted) low = middle + 1;
    else high = middle;
  }
  if (levels.bin[low] !== wanted) return levels.count[low]!;
  const [least, next] = [leastOf(wanted), leastOf(wanted + 1)];
  const share = Math.min(1, Math.max(0, (next - value) / (next - least)));
  return levels.count[low]! + share * (levels.count[low + 1]! - levels.count[low]!);
}

/** What the `rank` largest numbers hold; within a bin all count as alike. */
export function heldByTop(levels: Levels, rank: number): { mass: number; carried: number } {
  const { count, mass, carried } = levels;
  if (rank >= sizeOf(levels)) return { mass: mass.at(-1)!, carried: carried.at(-1)! };
  const n = placeOf(count, rank);
  const share = (rank - count[n]!) / (count[n + 1]! - count[n]!);
  return { mass: mass[n]! + share * (mass[n + 1]! - mass[n]!), carried: carried[n]! + share * (carried[n + 1]! - carried[n]!) };
}

/** Spread the `rank` largest numbers over other bins, by the mean mass of each level. */
export function spreadTop(levels: Levels, rank: number, out: Float64Array, binOfMass: (mass: number) => number): void {
  for (let n = 0; n < levels.bin.length && levels.count[n]! < rank; n++) {
    const count = levels.count[n + 1]! - levels.count[n]!;
    const mean = (levels.mass[n + 1]! - levels.mass[n]!) / count;
    out[binOfMass(mean)]! += Math.min(count, rank - levels.count[n]!);
  }
}
