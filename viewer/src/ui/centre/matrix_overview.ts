/** A picture of every head, in order of layers or of what the heads do. */

import { rough } from "../../maths/digits";
import type { HeadOrder } from "../../scene/choice";
import { headFacts, MEASURE_NAMES, MEASURES, orderHeads, sayFacts, type HeadFacts } from "../../scene/measures";
import { button, labelOf, make } from "../element";
import { heatLegend, heatLook, Thumbnails } from "../heat";
import type { Model } from "../model";
import { segments } from "../segments";
import type { Theme } from "../theme";

// Sides of a picture, CSS pixels. All heads need not be in sight at once where they would be smaller than READABLE.
const LEAST = 40;
const READABLE = 64;
const LARGEST = 168;
const GAP = 8;
const NAME_PX = 34; // of a layer
const UNDER_PX = 21; // a head's name and bar
const ROLE_PX = 25; // two lines under them, where heads have roles
const GROUP_PX = 24; // a role over its heads

export class MatrixOverview {
  readonly element: HTMLElement;
  private readonly grid = make("div", { class: "heads-grid", attributes: { role: "group", "aria-label": "heads" } });
  private readonly room = make("div", { class: "heads-room" }, this.grid);
  private readonly formula = make("p", { class: "formula" });
  private readonly legend = make("div", { class: "legend" });
  private readonly order;
  private readonly ranked;
  private readonly pictures = new Thumbnails();
  private scene: Model["scene"] | null = null;
  private cells = new Map<HeadFacts, HTMLButtonElement>();
  private shown: HTMLButtonElement[] = []; // in order
  private groups: number[] = []; // how many heads each has
  private names: "beside" | "over" | "none" = "none"; // where those of groups stand

  constructor(private readonly model: Model, private theme: Theme) {
    this.order = segments<HeadOrder>([
      { value: "layer", label: "layer", title: "In the order of execution" },
      { value: "role", label: "role" },
      ...MEASURE_NAMES.map((value) => ({ value, label: MEASURES[value].label })),
    ], (order) => model.choose({ order }), "order of heads", false);
    this.ranked = segments<"layers" | "all">([
      { value: "layers", label: "in each layer" }, { value: "all", label: "over all" },
    ], (ranked) => model.choose({ ranked }), "ordered within", false);
    this.element = make("div", { class: "heads-view" },
      make("div", { class: "tools" }, this.order.element, this.ranked.element, this.formula, this.legend), this.room);
  }

  refresh(): void {
    if (this.scene !== this.model.scene) this.build();
    this.arrange();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.scene = null; // drawn anew when it is shown
    if (this.element.isConnected) this.refresh();
  }

  destroy(): void {
    this.pictures.clear();
  }

  private build(): void {
    const { scene } = this.model;
    const isChange = scene.before !== null;
    const heads = headFacts(scene);
    const look = heatLook(this.theme, this.theme.one, isChange);
    const largest = Math.max(...heads.map((one) => one.largest));
    this.scene = scene;
    this.pictures.clear();
    this.cells = new Map(heads.map((one) => {
      const name = `${this.model.layerName(one.call)}, head ${one.head}${one.isUniform ? ", uniform" : ""}`;
      const said = [name, ...sayFacts(one, isChange)];
      return [one, button({
        class: "head-cell", title: said.join("\n"),
        on: { click: () => this.model.choose({ layer: one.call, head: one.head, matrix: "head" }) },
      }, this.pictures.add(scene, one, look, largest),
      make("span", { text: `${scene.calls[one.call]!.layer}.${one.head}` }), make("span", { class: "number" }),
      scene.roles.size > 0 && make("bdi", { class: "under" }), make("i"))];
    }));
    this.order.enable("role", scene.roles.size > 0, scene.roles.size ? "By what the heads do" : "The page has no roles: write it with roles=True");
    this.grid.dataset["roles"] = String(scene.roles.size > 0);
    for (const name of MEASURE_NAMES) {
      const isKnown = heads.some(({ values }) => values[name] === values[name]);
      this.order.enable(name, isKnown, isKnown ? MEASURES[name].formula : name === "change" ? "Needs two passes that are compared" : "Not captured");
    }
    this.legend.replaceChildren(...heatLegend(look, isChange, largest, scene.calls.every((call) => call.isWhole)));
  }

  /** Put the heads in order, with the number that they are ordered by. */
  private arrange(): void {
    const { model } = this;
    const { choice, scene } = model;
    const byRole = choice.order === "role" && scene.roles.size > 0;
    const measure = choice.order === "layer" || choice.order === "role" ? null : choice.order;
    this.names = byRole ? "over" : !measure || choice.ranked === "layers" ? "beside" : "none";
    this.groups = [];
    this.order.choose(choice.order);
    this.ranked.choose(choice.ranked);
    this.ranked.element.hidden = !measure;
    this.formula.textContent = measure
      ? `${scene.before && measure !== "change" ? "after − before: " : ""}${MEASURES[measure].formula}; largest first`
      : `rows are queries, columns keys${byRole ? "; under each head what speaks for its role" : ""}`;
    const order = orderHeads([...this.cells.keys()], choice, scene.before !== null);
    const size = (one: HeadFacts) => (measure && Math.abs(one.values[measure])) || 0;
    const most = Math.max(...order.map(size), 1e-30);
    const children: HTMLElement[] = [];
    order.forEach((one, n) => {
      const call = scene.calls[one.call]!;
      const last = order[n - 1];
      const isNew = !last || (byRole ? last.role?.name !== one.role?.name : this.names === "beside" && last.call !== one.call);
      if (isNew) this.groups.push(0);
      this.groups[this.groups.length - 1]!++;
      if (isNew && byRole) children.push(make("bdi", { class: "role-name", text: labelOf(one.role?.name ?? "no role", 60) }));
      if (isNew && this.names === "beside") {
        children.push(make("span", { class: "layer-name", text: `L${call.layer}${call.kind === "cross" ? "×" : ""}`, title: model.layerName(one.call) }));
      }
      const cell = this.cells.get(one)!;
      const value = measure ? one.values[measure] : Number.NaN;
      cell.children[2]!.textContent = value === value ? rough(value) : one.isUniform ? "uniform" : "";
      const under = cell.querySelector(".under");
      const role = byRole ? one.role?.evidence : one.role?.name;
      if (under) under.textContent = role ? ` ${labelOf(role, 40)}` : ""; // parted from the name as it is read
      cell.ariaLabel = `${cell.children[1]!.textContent} ${cell.children[2]!.textContent}${under?.textContent ?? ""}: ${cell.title.replaceAll("\n", ", ")}`;
      cell.style.setProperty("--share", `${(100 * size(one)) / most}%`);
      const isHere = one.call === choice.layer && one.head === choice.head;
      cell.setAttribute("aria-current", String(isHere));
      cell.tabIndex = isHere ? 0 : -1;
      children.push(cell);
    });
    this.shown = order.map((one) => this.cells.get(one)!);
    this.grid.dataset["measured"] = String(measure !== null);
    this.grid.replaceChildren(...children);
    this.resize();
  }

  /** Give the pictures the size at which the room is used well; a layer of many heads takes several lines. */
  resize(): void {
    const { groups } = this;
    const isBeside = this.names === "beside";
    const width = this.room.clientWidth - 24 - (isBeside ? NAME_PX : 0);
    const height = this.room.clientHeight - 20 - (this.names === "over" ? groups.length * GROUP_PX : 0);
    if (width <= 0 || !this.shown.length) return;
    const under = UNDER_PX + (this.model.scene.roles.size ? ROLE_PX : 0);
    const lines = (columns: number) => groups.reduce((sum, heads) => sum + Math.ceil(heads / columns), 0);
    const sizeOf = (columns: number) => Math.min(
      LARGEST, width / columns - GAP, Math.max(height / lines(columns) - GAP - under, Math.min(READABLE, width / columns - GAP)),
    );
    const heads = Math.max(...groups);
    const most = Math.max(1, Math.min(heads, Math.floor(width / (LEAST + GAP))));
    let columns = isBeside ? Math.ceil(heads / Math.ceil(heads / most)) : 1;
    if (!isBeside) for (let n = 1; n <= most; n++) if (sizeOf(n) >= sizeOf(columns)) columns = n;
    const size = Math.floor(sizeOf(columns));
    this.grid.style.setProperty("grid-template-columns", `${isBeside ? `${NAME_PX - GAP}px ` : ""}repeat(${columns}, ${size}px)`);
    this.grid.style.setProperty("--size", `${size}px`);
    this.grid.dataset["small"] = String(size < 56);
    let place = 0;
    for (const child of this.grid.children as HTMLCollectionOf<HTMLElement>) {
      if (child.className === "layer-name") place = 0;
      else if (child.className === "head-cell") child.style.setProperty("grid-column", isBeside ? String(2 + (place++ % columns)) : "auto");
    }
  }

  /** Give the focus to the head in focus. */
  focus(): void {
    this.shown.find((cell) => cell.tabIndex === 0)?.focus();
  }

  press(event: KeyboardEvent): boolean {
    const now = this.shown.findIndex((cell) => cell.tabIndex === 0);
    const next = this.shown[this.step(event.key, now)];
    if (!next) return false;
    this.shown[now]!.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    return true;
  }

  /** Which head an arrow leads to: the next in order, or the nearest in the line above or below; -1: none. */
  private step(key: string, now: number): number {
    if (key === "ArrowLeft" || key === "ArrowRight") return now + (key === "ArrowLeft" ? -1 : 1);
    if (key !== "ArrowUp" && key !== "ArrowDown") return -1;
    const { offsetLeft, offsetTop } = this.shown[now]!;
    let [best, far] = [now, Infinity];
    this.shown.forEach((cell, n) => {
      const down = (cell.offsetTop - offsetTop) * (key === "ArrowDown" ? 1 : -1);
      const distance = down > 0 ? down * 1e4 + Math.abs(cell.offsetLeft - offsetLeft) : Infinity;
      if (distance < far) [best, far] = [n, distance];
    });
    return best;
  }
}
