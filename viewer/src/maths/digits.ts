/** Numbers as text, with no more digits than the data carry. */

const NARROW_SPACE = "\u202f";

/** A whole number with thousands apart. */
export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
}

/** So many things, one or several. */
export function plural(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
}

/** A number of an answer that is there in any case: not finite reads "NaN", as the file keeps no more of it. */
export function orNaN(value: number, write: (value: number) => string): string {
  return Number.isFinite(value) ? write(value) : "NaN";
}

/** A share as percent: three digits at most. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return "not captured";
  const value = share * 100;
  if (value > 0 && value < 0.01) return `< 0.01${NARROW_SPACE}%`;
  const digits = value >= 99.95 || value === 0 ? 0 : value >= 10 ? (value > 99 ? 1 : 0) : value >= 1 ? 1 : 2;
  return `${value.toFixed(digits)}${NARROW_SPACE}%`;
}

/** A share as whole percent for a label: neither 0 nor 100 for what is neither. */
export function roundPercent(share: number): string {
  if (share > 0 && share < 0.01) return "< 1 %";
  if (share > 0.99 && share < 1) return "> 99 %";
  return `${Math.round(share * 100)} %`;
}

/**
 * A measured number with four significant digits, fewer where `error` (absolute) leaves fewer.
 *
 * NaN and Infinity read "not captured".
 */
export function quantity(value: number, error = 0): string {
  if (!Number.isFinite(value)) return "not captured";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  let decimals = 3 - size;
  if (error > 0) decimals = Math.min(decimals, Math.floor(-Math.log10(2 * error)));
  if (decimals < -2 || size < -5) {
    const digits = error > 0 ? Math.min(3, Math.max(0, Math.floor(Math.log10(Math.abs(value) / (2 * error))))) : 3;
    return value.toExponential(digits).replace("e-", "e−").replace(/^-/, "−");
  }
  return value.toFixed(Math.max(0, decimals)).replace(/^-/, "−");
}

/** A number with the two digits that a small label has room for. */
export function rough(value: number): string {
  return quantity(value, 0.5 * 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - 1));
}

/** A signed number with its sign written; `error` as of a quantity. */
export function signed(value: number, error = 0): string {
  if (!Number.isFinite(value)) return "not captured";
  const text = quantity(Math.abs(value), error);
  return value < 0 ? `−${text}` : value > 0 ? `+${text}` : text;
}

// As the page's writer rounds: weights from STRONG up in 16 bits, weaker ones in steps of 1/512.
const STRONG = 1 / 16;

/** Error of a weight that was stored as a code of its square root: what half a step of the code makes. */
export function codeError(weight: number, code: "f32" | "sqrt_u16" | "sqrt_u8"): number {
  if (code === "f32") return 0;
  const half = code === "sqrt_u8" && weight < STRONG ? 0.5 / 512 : 0.5 / 65535;
  return 2 * half * Math.sqrt(Math.max(weight, 1e-9)) + half * half;
}

/** Most that the difference of two stored weights is off by. */
export function differenceError(code: "f32" | "sqrt_u16" | "sqrt_u8"): number {
  return 2 * codeError(code === "sqrt_u8" ? STRONG * (1 - 1e-9) : 1, code);
}
