/** Rows as CSV (RFC 4180) that a spreadsheet opens without running anything. */

import { differenceError } from "../../maths/digits";
import type { Rows } from "./table_rows";

// What a spreadsheet takes for the start of a formula.
const FORMULA = /^[=+\-@\t\r]/;
// Rows of one piece of the text: pieces are joined by the browser, not by us.
const ROWS_A_PIECE = 10_000;

/** A text cell: an apostrophe before what would be a formula, quotes where they are needed. */
export function textCell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The shortest decimal that is this float32; nothing for what is not known. */
export function numberCell(value: number): string {
  if (!Number.isFinite(value)) return "";
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

/** Pieces of a file with the rows in the given order. */
export function csvOf(rows: Rows, order: ArrayLike<number>): string[] {
  const error = Math.max(0, ...rows.model.scene.calls.map((call) => (call.code === "f32" ? 0 : differenceError(call.code) / 2)));
  const heads = rows.columns.flatMap(({ name, title }) => {
    if (name === "from") return ["query_position", "query"];
    if (name === "to") return ["key_position", "key"];
    return [title && error ? `${name} (from weights within ${error.toPrecision(2)})` : name];
  });
  const pieces = [`${["path", ...heads].map(textCell).join(",")}\r\n`];
  let piece = "";
  for (let at = 0; at < order.length; at++) {
    const n = order[at]!;
    const cells = rows.columns.flatMap(({ name }) => {
      if (name === "from" || name === "to") return [String(rows.value(n, name)), textCell(rows.raw(n, name))];
      if (name === "kind") return [rows.kind(n)];
      const value = rows.value(n, name);
      return [name === "head" && value < 0 ? "mean" : numberCell(value)];
    });
    piece += `${[textCell(rows.call(n).site), ...cells].join(",")}\r\n`;
    if (at % ROWS_A_PIECE === ROWS_A_PIECE - 1 || at === order.length - 1) {
      pieces.push(piece);
      piece = "";
    }
  }
  return pieces;
}
