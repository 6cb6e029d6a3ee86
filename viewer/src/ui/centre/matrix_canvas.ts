/** Drawing one head's cells with the tokens along both sides. */

import { pool, type Cells } from "../../scene/cells";
import { labelOf } from "../element";
import { drawHeat, type HeatLook } from "../heat";
import { LABEL_FONT } from "../labels";
import type { Theme } from "../theme";

/** A row and a column; -1: the labels beside them. */
export interface Cell {
  readonly row: number;
  readonly column: number;
}

/** Which cells are in sight: columns and rows before the first, pixels of a cell, and the room behind the labels. */
export interface Frame {
  x: number;
  y: number;
  scale: number; // CSS pixels
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface MatrixPicture {
  readonly cells: Cells;
  readonly look: HeatLook;
  readonly largest: number;
  readonly theme: Theme;
  readonly rowLabels: readonly string[];
  readonly columnLabels: readonly string[];
  readonly names: readonly [string, string]; // of rows, of columns
  drawn?: { at: string; image: HTMLCanvasElement }; // the cells as they were drawn last
}

/** Cells that stand out; -1 in a row or column is none. */
export interface Marks {
  readonly token: Cell; // the selected token's row and column
  readonly cell: Cell | null; // selected
  readonly pointer: Cell | null;
}

// A label's height, and the least distance of the numbers that stand for labels.
const LINE_PX = 12;
const NUMBERS_PX = 34;
const STRONG_FONT = `600 ${LABEL_FONT}`;
const NUMBER_FONT = LABEL_FONT.replace("12px", "10.5px");

/** Draw on a cleared canvas whose units are CSS pixels. */
export function drawMatrix(context: CanvasRenderingContext2D, picture: MatrixPicture, frame: Frame, marks: Marks, density: number): void {
  context.save();
  context.beginPath();
  context.rect(frame.left, frame.top, frame.width, frame.height);
  context.clip();
  drawCells(context, picture, frame, density);
  drawMarks(context, picture, frame, marks);
  context.restore();
  context.textBaseline = "middle";
  context.direction = "ltr";
  drawLabels(context, picture, frame, marks, true);
  drawLabels(context, picture, frame, marks, false);
  context.font = NUMBER_FONT;
  context.fillStyle = picture.theme.soft;
  picture.names.forEach((name, n) => write(context, `${name} ${n ? "→" : "↓"}`, frame.left - 12, frame.top - 15 * (n + 1), false, frame.left - 14));
}

function drawCells(context: CanvasRenderingContext2D, picture: MatrixPicture, frame: Frame, density: number): void {
  const { cells, theme, look, largest } = picture;
  const { scale } = frame;
  const box = {
    left: Math.floor(frame.x), right: Math.min(cells.columns.length, Math.ceil(frame.x + frame.width / scale)),
    top: Math.floor(frame.y), bottom: Math.min(cells.rows.length, Math.ceil(frame.y + frame.height / scale)),
  };
  const [wide, high] = [box.right - box.left, box.bottom - box.top];
  if (wide <= 0 || high <= 0) return;
  const at = Object.values(frame).join();
  if (picture.drawn?.at !== at) {
    picture.drawn = { at, image: document.createElement("canvas") };
    drawHeat(picture.drawn.image, pool(cells, box, Math.ceil(wide * scale * density), Math.ceil(high * scale * density)), look, largest);
  }
  const [x, y, right, bottom] = [
    frame.left + (box.left - frame.x) * scale, frame.top + (box.top - frame.y) * scale, wide * scale, high * scale,
  ];
  context.imageSmoothingEnabled = false;
  context.drawImage(picture.drawn.image, x, y, right, bottom);
  context.lineWidth = 1;
  context.strokeStyle = theme.line;
  context.beginPath();
  const step = scale < LINE_PX ? 0 : 1; // small cells have a line round all of them only
  for (let n = 0; n <= wide; n += step || wide) context.rect(Math.round(x + n * scale) + 0.5, y, 0, bottom);
  for (let n = 0; n <= high; n += step || high) context.rect(x, Math.round(y + n * scale) + 0.5, right, 0);
  context.globalAlpha = 0.6;
  context.stroke();
  context.globalAlpha = 1;
}

function drawMarks(context: CanvasRenderingContext2D, { cells, theme }: MatrixPicture, frame: Frame, marks: Marks): void {
  const { scale } = frame;
  const thick = Math.max(scale, 2);
  const [left, top] = [frame.left - frame.x * scale, frame.top - frame.y * scale];
  const stroke = ({ row, column }: Cell, colour: string, isCell: boolean, isCross: boolean) => {
    context.strokeStyle = colour;
    const [x, y] = [left + column * scale, top + row * scale];
    context.lineWidth = 1.25;
    if (isCross && row >= 0) context.strokeRect(left, y, cells.columns.length * scale, thick);
    if (isCross && column >= 0) context.strokeRect(x, top, thick, cells.rows.length * scale);
    context.lineWidth = 2.5;
    if (isCell && row >= 0 && column >= 0) context.strokeRect(x, y, thick, thick);
  };
  stroke(marks.token, theme.mark, false, true);
  if (marks.cell) stroke(marks.cell, theme.mark, true, false);
  if (marks.pointer) stroke(marks.pointer, theme.soft, true, true);
}

/** Tokens beside each row or over each column where they fit; else every so many a number. */
function drawLabels(context: CanvasRenderingContext2D, picture: MatrixPicture, frame: Frame, marks: Marks, isRow: boolean): void {
  const { theme, cells } = picture;
  const { scale } = frame;
  const labels = isRow ? picture.rowLabels : picture.columnLabels;
  const [first, room, beside] = isRow ? [frame.y, frame.height, frame.left] : [frame.x, frame.width, frame.top];
  const pick = (cell: Cell | null) => (isRow ? cell?.row : cell?.column) ?? -1;
  const [pointed, strong] = [pick(marks.pointer), [pick(marks.pointer), pick(marks.token), pick(marks.cell)].filter((n) => n >= 0)];
  const every = scale >= LINE_PX ? 1 : roundStep(NUMBERS_PX / scale);
  for (let n = Math.floor(first); n < Math.min(labels.length, first + room / scale); n++) {
    const isStrong = strong.includes(n);
    const number = isRow ? cells.rows[n]! + cells.shift : cells.columns[n]!;
    const at = (n + 0.5 - first) * scale;
    const isCovered = every > 1 && strong.some((other) => Math.abs(other - n) * scale < LINE_PX);
    if (at < 0 || at > room || (!isStrong && (number % every || isCovered))) continue;
    context.font = isStrong ? STRONG_FONT : every > 1 ? NUMBER_FONT : LABEL_FONT;
    context.fillStyle = isStrong && n !== pointed ? theme.mark : every > 1 && !isStrong ? theme.soft : theme.ink;
    const text = isStrong || every === 1 ? labels[n]! : String(number);
    write(context, text, isRow ? frame.left - 5 : frame.left + at, isRow ? frame.top + at : frame.top - 5, !isRow, beside - 8);
  }
}

/** 1, 2 or 5 times a power of ten, not below `least`. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((n) => n * power >= least) ?? 10);
}

/** Write to the left of a point, or upwards from it, within so many pixels. */
function write(context: CanvasRenderingContext2D, text: string, x: number, y: number, isUpwards: boolean, room: number): void {
  let shown = text;
  for (let letters = 15; context.measureText(shown).width > room && letters > 1; letters--) shown = labelOf(text, letters);
  context.save();
  context.translate(x, y);
  if (isUpwards) context.rotate(-Math.PI / 2);
  context.textAlign = isUpwards ? "left" : "right";
  context.fillText(shown, 0, 0);
  context.restore();
}

/** Room that labels take, from `least` to `most` pixels. */
export function labelRoom(context: CanvasRenderingContext2D, labels: readonly string[], least: number, most: number): number {
  context.font = STRONG_FONT;
  const widest = labels.slice(0, 2000).reduce((room, label) => Math.max(room, context.measureText(label).width), 0);
  return Math.ceil(Math.max(least, Math.min(most, widest + 12)));
}
