/** The visible edges as a table: to sort, to search, to take away, and to hear. */

import { codeError, count, differenceError, plural, quantity } from "../../maths/digits";
import { button, labelOf, make, tokenText } from "../element";
import { copyText, fileName, saveFile } from "../export/save";
import type { Change, Model } from "../model";
import { csvOf } from "./table_csv";
import { findRows, Rows, type Column, type Sorting } from "./table_rows";
import type { CentreActions, CentreView } from "./view";

// Height of a row, CSS pixels; the style sheet's.
const ROW_PX = 24;
// Browsers draw no element that is much taller; beyond it a pixel of the scroll bar is more than a pixel of rows.
const TALLEST_PX = 8_000_000;

export function makeTable(model: Model, _theme: unknown, actions: CentreActions): CentreView {
  return new Table(model, actions);
}

class Table implements CentreView {
  readonly element: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly counts = make("span", { class: "number", attributes: { role: "status" } });
  private readonly caption = make("caption", { class: "unseen" });
  private readonly head = make("thead");
  private readonly body = make("tbody");
  private readonly grid: HTMLTableElement;
  private readonly inner: HTMLElement;
  private readonly scroller: HTMLElement;
  private rows!: Rows;
  private order = new Uint32Array(0);
  private sorting: Sorting | null = null;
  private wasPair = false;
  private fits = 1; // rows that the view has room for
  private first = 0; // row at the top
  private at: [number, number] = [0, 0]; // row and column that keys act on

  constructor(private readonly model: Model, private readonly actions: CentreActions) {
    this.search = make("input", {
      class: "search", title: 'all of: part of a token, #place, L3, H2, value; "L3" is a text',
      attributes: { type: "search", placeholder: "token, #place, L3 H2", "aria-label": "filter the edges", spellcheck: "false", autocomplete: "off" },
      on: { input: () => this.find(), keydown: (event) => {
        if (event.key === "Escape" && this.search.value) {
          this.search.value = "";
          this.find();
          event.stopPropagation();
        }
      } },
    });
    this.grid = make("table", {
      attributes: { role: "grid", tabindex: "0", "aria-label": "visible edges" },
      on: { keydown: (event) => this.onKey(event), click: (event) => this.onClick(event), focus: () => this.point() },
    }, this.caption, this.head, this.body);
    this.inner = make("div", { class: "long" }, this.grid);
    this.scroller = make("div", { class: "rows", on: { scroll: () => this.onScroll() } }, this.inner);
    this.element = make("section", { class: "table", attributes: { "aria-label": "table of the visible edges" } },
      make("div", { class: "tools" }, this.search, this.counts,
        button({ class: "chip", text: "CSV", title: "Download these rows as CSV", on: { click: () => this.save() } }),
        button({ class: "chip", text: "Copy", title: "Copy these rows as CSV", on: { click: () => void this.copy() } })),
      this.scroller);
  }

  refresh(change: Change): void {
    if (change === "selection") {
      this.draw();
      return;
    }
    this.rows = new Rows(this.model);
    const isPair = this.model.scene.before !== null;
    // The biggest movers first.
    if (isPair !== this.wasPair) this.sorting = isPair ? { name: "change", isFalling: true } : null;
    this.wasPair = isPair;
    this.head.replaceChildren(make("tr", { attributes: { "aria-rowindex": "1" } }, ...this.rows.columns.map((column) => this.headCell(column))));
    this.find();
  }

  private headCell({ name, title }: Column): HTMLElement {
    const isRounded = title && this.model.scene.calls.some((call) => call.code !== "f32");
    return make("th", { class: title && "number", attributes: { scope: "col", "data-column": name } },
      button({ text: isRounded ? `≈ ${name}` : name, title: title + (isRounded ? ", of rounded weights" : ""), on: { click: () => this.sort(name, title !== "") } }));
  }

  private sort(name: Sorting["name"], isFalling: boolean): void {
    this.sorting = { name, isFalling: this.sorting?.name === name ? !this.sorting.isFalling : isFalling };
    this.find();
    this.actions.say(`sorted by ${name}, ${this.sorting.isFalling ? "falling" : "rising"}`);
  }

  private find(): void {
    const { rows, model } = this;
    this.order = findRows(rows, this.search.value, this.sorting) as Uint32Array<ArrayBuffer>;
    for (const cell of this.head.querySelectorAll("th")) {
      const isSorted = cell.dataset["column"] === this.sorting?.name;
      if (isSorted) cell.setAttribute("aria-sort", this.sorting!.isFalling ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    const cut = rows.count < rows.shown ? `the first ${count(rows.count)} of ` : "";
    const found = (this.order.length < rows.count ? `${count(this.order.length)} found in ` : "") + cut;
    this.counts.textContent = `${found}${count(rows.shown)} of ${plural(rows.total, "edge")}`;
    this.caption.textContent = `Edges of ${model.scene.model || "the model"} that are shown: ${this.counts.textContent}. Arrow keys move, Enter selects.`;
    this.grid.setAttribute("aria-rowcount", String(this.order.length + 1));
    this.at = [0, Math.min(this.at[1], rows.columns.length - 1)];
    this.first = 0;
    this.scroller.scrollTop = 0;
    this.measure();
  }

  setTheme(): void {} // the style sheet's

  resize(): void {
    this.measure();
  }

  /** Room, and a height that makes the scroll bar tell of all rows. */
  private measure(): void {
    const room = this.scroller.clientHeight;
    this.fits = Math.max(1, Math.floor((room - ROW_PX) / ROW_PX));
    this.inner.style.setProperty("height", `${Math.min(TALLEST_PX, Math.max(room, (this.order.length + 1) * ROW_PX))}px`);
    this.draw();
  }

  /** Pixels of the scroll bar for a row. */
  private get step(): number {
    const most = this.inner.offsetHeight - this.scroller.clientHeight;
    return most / Math.max(1, this.order.length - this.fits);
  }

  private onScroll(): void {
    const first = this.step > 0 ? Math.round(this.scroller.scrollTop / this.step) : 0;
    if (Math.abs(first - this.first) * this.step < 1 || first === this.first) return;
    this.first = first;
    this.draw();
  }

  /** Fill as many rows as fit; their elements stay. */
  private draw(): void {
    this.first = Math.max(0, Math.min(this.first, this.order.length - this.fits));
    const wanted = Math.min(this.fits, this.order.length - this.first);
    while (this.body.rows.length > wanted) this.body.deleteRow(-1);
    while (this.body.rows.length < wanted) this.body.insertRow();
    for (let n = 0; n < wanted; n++) this.fill(this.body.rows[n]!, this.first + n);
    this.point();
  }

  private fill(row: HTMLTableRowElement, at: number): void {
    const n = this.order[at]!;
    const { edges } = this.rows;
    const { selection } = this.model;
    const isChosen = selection?.kind === "edge" && (["call", "head", "kind", "query", "key"] as const).every((name) => selection.edge[name] === edges[name][n]);
    row.setAttribute("aria-rowindex", String(at + 2));
    row.setAttribute("aria-selected", String(isChosen));
    row.dataset["row"] = String(at);
    row.replaceChildren(...this.rows.columns.map((column, c) => {
      const cell = this.cell(n, column);
      cell.id = `cell-${at}-${c}`;
      cell.setAttribute("role", "gridcell");
      cell.dataset["column"] = String(c);
      return cell;
    }));
  }

  private cell(n: number, { name, title }: Column): HTMLTableCellElement {
    const { rows } = this;
    if (name === "kind") return make("td", { text: rows.kind(n) });
    const value = rows.value(n, name);
    if (name === "from" || name === "to") {
      const raw = rows.raw(n, name);
      return make("td", { class: "end", title: labelOf(raw, 200) }, tokenText(labelOf(rows.text(n, name))), make("span", { class: "soft", text: ` #${value}` }));
    }
    if (!title) return make("td", { text: name === "head" && value < 0 ? "mean" : String(value) });
    const { code } = rows.call(n);
    const weight = rows.edges.weight[n]!;
    const isProduct = name === "lift" || name === "contribution";
    const error = isProduct ? (codeError(weight, code) * value) / weight : name === "change" ? differenceError(code) : codeError(value, code);
    const text = Number.isFinite(value) ? quantity(value, error) : "–";
    const sign = name === "change" && value > 0 ? "+" : "";
    return make("td", { class: name === "change" ? `number ${value < 0 ? "fell" : "rose"}` : "number", text: sign + text });
  }

  /** Tell which cell keys act on. */
  private point(): void {
    for (const old of this.body.querySelectorAll(".here")) old.classList.remove("here");
    const cell = this.body.querySelector(`#cell-${this.at[0]}-${this.at[1]}`);
    cell?.classList.add("here");
    if (cell) this.grid.setAttribute("aria-activedescendant", cell.id);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.composedPath()[0] !== this.grid) return;
    const last = this.order.length - 1;
    const [row, cell] = this.at;
    const moves: Record<string, [number, number]> = {
      ArrowDown: [row + 1, cell], ArrowUp: [row - 1, cell], ArrowRight: [row, cell + 1], ArrowLeft: [row, cell - 1],
      PageDown: [row + this.fits, cell], PageUp: [row - this.fits, cell], Home: [0, cell], End: [last, cell],
    };
    const to = moves[event.key];
    if (to) this.go(Math.max(0, Math.min(last, to[0])), Math.max(0, Math.min(this.rows.columns.length - 1, to[1])));
    else if (event.key === "Enter" || event.key === " ") this.choose(row, cell);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private go(row: number, cell: number): void {
    this.at = [row, cell];
    if (row < this.first) this.first = row;
    if (row >= this.first + this.fits) this.first = row - this.fits + 1;
    this.scroller.scrollTop = this.first * this.step;
    this.draw();
  }

  private onClick(event: MouseEvent): void {
    const cell = (event.target as Element).closest("td");
    const row = cell?.closest("tr")?.dataset["row"];
    if (!cell || row === undefined) return;
    this.at = [Number(row), Number(cell.dataset["column"])];
    this.choose(...this.at, event.target instanceof Element && event.target.closest("bdi") !== null);
  }

  /** Select the token of a cell that names one, else the edge of the row. */
  private choose(row: number, cell: number, isToken = true): void {
    const n = this.order[row];
    if (n === undefined) return;
    const { name } = this.rows.columns[cell]!;
    if (isToken && (name === "from" || name === "to")) this.model.select({ kind: "token", ...this.rows.token(n, name), plane: 0 });
    else this.model.select({ kind: "edge", edge: this.rows.edges.at(n) });
  }

  private save(): void {
    saveFile(new Blob(csvOf(this.rows, this.order), { type: "text/csv;charset=utf-8" }), `${fileName(this.model.page.title)}-edges.csv`);
    this.actions.say(`${plural(this.order.length, "row")} saved`);
  }

  private async copy(): Promise<void> {
    const isDone = await copyText(csvOf(this.rows, this.order).join(""), this.element);
    this.actions.say(isDone ? `${plural(this.order.length, "row")} copied` : "The browser does not let this page copy");
  }

  destroy(): void {}
}
