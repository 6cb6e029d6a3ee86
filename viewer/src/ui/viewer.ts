/** One viewer: the parts joined, and the state that it publishes. */

import { plural } from "../maths/digits";
import { nodeOf } from "../scene/nodes";
import { FormatFault } from "../wire/fault";
import type { Page } from "../wire/page";
import { answerPanel } from "./answer_panel";
import { Centre } from "./centre/host";
import { edgePanel } from "./edge_panel";
import type { Drawn } from "./drawn";
import { button, make } from "./element";
import { ExportMenu } from "./export/menu";
import { isFocusHidden, keepFocus } from "./focus";
import { Frames } from "./frames";
import { listenToGestures } from "./gestures";
import { Header } from "./header";
import { Help, KEYS_SAID } from "./help";
import { pressKey } from "./keys";
import { sayKnockOut } from "./knock_panel";
import type { Ask } from "./knocking";
import { Matrix } from "./matrix";
import { Model, type Change, type Loader, type Selection } from "./model";
import { Options } from "./options";
import { Published } from "./published";
import { screenOfEdge, screenOfNode } from "./spots";
import { Stage } from "./stage";
import { scorePanel } from "./score_panel";
import { chosenState, toHash, type State } from "./state";
import { Status } from "./status";
import { Strip } from "./strip";
import { Threshold } from "./threshold";
import { applyTheme, THEMES, type Theme } from "./theme";
import { tokenPanel } from "./token_panel";
import { describe, placeTip } from "./tooltip";

// Widths of the viewer, CSS pixels, below which side panels make room for the graph.
const NARROW = 980;
const SLIM = 760;

export interface Hooks {
  ownsPage?: boolean; // keys that are pressed while nothing has the focus are the viewer's
  onSelect?: (selection: Selection | null) => void;
  onState?: (state: State) => void; // what differs from the fresh view, when nothing has moved for a moment
  onReady?: () => void;
  state?: State; // what to open with
  knockOut?: Ask; // a kernel that runs the model without one of its parts
  loader?: (model: Model) => Loader; // of data that the page does not hold
}

export class Viewer {
  readonly element = make("div", { class: "viewer" });
  readonly model: Model;
  private readonly stage: Stage;
  private readonly grid = make("div", { class: "grid" });
  private readonly panel = make("aside", { class: "panel", attributes: { "aria-label": "details", tabindex: "0" } });
  private readonly help = new Help();
  private readonly spoken = make("div", { class: "unseen", attributes: { "aria-live": "polite" } });
  private readonly tip = make("div", { class: "tip", attributes: { hidden: "" } });
  private readonly fault = make("div", { class: "fault", attributes: { hidden: "", role: "alert" } });
  private readonly header: Header;
  private frames: Frames;
  private readonly matrix: Matrix;
  private readonly threshold: Threshold;
  private readonly options: Options;
  private readonly strip: Strip;
  private readonly status: Status;
  readonly published: Published;
  private readonly middle: HTMLElement;
  private readonly centre: Centre;
  private readonly observers: ResizeObserver[] = [];
  private readonly stop = new AbortController();
  private readonly stopGestures: () => void;
  private theme: Theme;
  private width = 0;
  private open: { rail: boolean; panel: boolean } = { rail: true, panel: true };

  constructor(page: Page, private readonly hooks: Hooks) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    this.theme = THEMES[dark.matches ? "dark" : "light"];
    dark.addEventListener("change", () => this.setTheme(dark.matches ? "dark" : "light"), { signal: this.stop.signal });
    const model = (this.model = new Model(page));
    model.loader = hooks.loader?.(model) ?? null;
    model.knocking.ask = hooks.knockOut ?? null;
    this.stage = new Stage(model, this.theme, (text) => this.showFault(text, true));
    this.stage.element.append(this.tip, this.fault);
    this.published = new Published(model, this.stage, hooks, { show: (frame) => this.show(frame), setTheme: (name) => this.setTheme(name) });
    this.header = new Header(model, {
      theme: () => this.setTheme(this.theme.name === "dark" ? "light" : "dark"),
      rail: () => this.toggle("rail"),
      panel: () => this.toggle("panel"),
      home: () => this.stage.fit(true),
      find: (text, isFinal) => this.find(text, isFinal),
      leave: () => this.centre.focus(),
      help: () => this.help.show(),
    });
    this.header.element.append(new ExportMenu({
      model, stage: this.stage, theme: () => this.theme, counted: () => this.status.words(), centre: () => this.centre.view?.element ?? null,
      state: () => this.state(), link: () => location.href.split("#")[0] + toHash(this.published.changed()),
    }).element);
    this.frames = new Frames(model, (frame) => this.show(frame));
    this.matrix = new Matrix(model, this.theme);
    this.threshold = new Threshold(model, this.theme);
    this.options = new Options(model);
    this.strip = new Strip(model);
    this.status = new Status(model);
    const rail = make("aside", { class: "rail", attributes: { "aria-label": "heads, threshold and drawing" } },
      make("h2", { text: "Layers × heads" }), this.matrix.element, this.threshold.element, this.options.element);
    this.centre = new Centre(model, this.stage, this.theme, { say: (text) => (this.spoken.textContent = text) });
    this.middle = make("main", { class: "centre" }, this.stage.element, this.status.element, make("p", { class: "unseen", text: KEYS_SAID, attributes: { id: "keys" } }));
    this.grid.append(
      this.header.element, this.frames.element, this.middle, rail, this.panel, this.strip.element);
    this.element.append(this.grid, this.spoken, this.help.element);
    this.stopGestures = listenToGestures(this.stage.canvas, this.gestures());
    this.element.addEventListener("keydown", (event) => this.onKey(event), { signal: this.stop.signal });
    if (hooks.ownsPage) {
      document.addEventListener("keydown", (event) => {
        if (event.target === document.body || event.target === document.documentElement) this.onKey(event);
      }, { signal: this.stop.signal });
    }
    model.listen((change) => this.onChange(change));
    this.stage.onFirstDraw = () => hooks.onReady?.();
    applyTheme(this.element, this.theme);
    this.stage.surface.start(hooks.ownsPage === true);
    this.observe();
  }

  private observe(): void {
    const onStage = new ResizeObserver(() => {
      this.centre.resize();
    });
    onStage.observe(this.middle);
    const onViewer = new ResizeObserver(() => this.arrange());
    onViewer.observe(this.element);
    this.observers.push(onStage, onViewer);
  }

  /** Unpack and show a picture; what goes wrong is said in the picture's place. */
  async show(frame: number): Promise<void> {
    try {
      await this.model.showFrame(frame);
      await this.published.open();
      if (!this.stage.surface.isFaulty) this.showFault(null);
    } catch (fault) {
      const text = fault instanceof FormatFault ? fault.message : `This picture could not be shown: ${String(fault)}`;
      this.showFault(text);
      this.hooks.onReady?.();
    }
  }

  /** Show newer data; a viewer at the last frame moves on to the new last one. */
  async load(page: Page): Promise<void> {
    const frame = this.model.replacePage(page);
    this.frames.stop();
    const frames = new Frames(this.model, (number) => this.show(number));
    this.frames.element.replaceWith(frames.element);
    this.frames = frames;
    await this.show(frame);
  }

  private showFault(text: string | null, hasData = false): void {
    this.fault.hidden = text === null;
    const toTable = button({ class: "chip", text: "Show the table", on: { click: () => this.model.frame >= 0 && this.model.choose({ view: "table" }) } });
    this.fault.replaceChildren(...(text === null ? [] : [
      make("div", {}, make("b", { text: "The graph cannot be shown" }), make("p", { text }), hasData && toTable)]));
    if (text !== null && this.stage.surface.isFaulty) this.hooks.onReady?.();
  }

  private onChange(change: Change): void {
    const { model } = this;
    if (model.hover === null) this.published.publish();
    if (change === "scene") {
      this.matrix.build(this.theme);
      this.strip.build();
      this.frames.refresh();
    }
    if (change === "scene" || change === "graph") {
      this.matrix.refresh();
      this.options.refresh();
      this.threshold.refresh();
      this.strip.shade();
      this.stage.canvas.setAttribute("aria-label", this.summary());
      this.header.refresh(this.open.rail, this.open.panel);
    }
    if (change === "threshold") this.threshold.draw();
    if (change !== "selection") this.status.refresh();
    const isPreview = change === "selection" && model.hover !== null;
    if (!isPreview) this.showTip(null, 0, 0); // it tells of what was there before
    if (change !== "threshold" && !isPreview) this.showDetails();
    this.centre.update(change);
  }

  private summary(): string {
    const { scene, choice } = this.model;
    return `Attention graph, ${choice.view} view: ${plural(scene.calls.length, "layer")}, ${scene.sides.map((side) => plural(side.tokens.length, "token")).join(" and ")}`;
  }

  private shownSelection: Selection | null | undefined = undefined;
  private saidKnockOut: string | null = null;

  /** Fill the details panel, and say aloud what was selected. */
  private showDetails(): void {
    const { selection } = this.model;
    const isNew = selection !== this.shownSelection;
    this.shownSelection = selection;
    const content = selection === null
      ? answerPanel(this.model)
      : selection.kind === "token" ? tokenPanel(this.model, selection)
        : selection.kind === "answer" ? scorePanel(this.model, selection.answer)
          : edgePanel(this.model, selection.edge, this.theme);
    const back = selection && button({ class: "back", text: "back (Esc)", on: { click: () => this.model.select(null) } });
    keepFocus(this.panel, () => this.panel.replaceChildren(...(back ? [back] : []), content), isNew);
    this.strip.mark();
    const said = sayKnockOut(this.model);
    if (said !== this.saidKnockOut && said !== null) this.spoken.textContent = said;
    this.saidKnockOut = said;
    if (!isNew) return;
    this.panel.scrollTop = 0;
    this.spoken.textContent = selection ? describe(this.model, selection) : "";
    if (this.width && this.width < NARROW) {
      const keepsRail = this.open.rail && this.width >= SLIM;
      this.setOpen({ rail: selection ? keepsRail : this.open.rail, panel: selection !== null });
    }
    this.hooks.onSelect?.(selection);
  }

  private toggle(which: "rail" | "panel"): void {
    const open = { ...this.open, [which]: !this.open[which] };
    if (this.width < SLIM && open.rail && open.panel) open[which === "rail" ? "panel" : "rail"] = false;
    this.setOpen(open);
  }

  private setOpen(open: { rail: boolean; panel: boolean }): void {
    this.open = open;
    this.grid.dataset["rail"] = open.rail ? "open" : "closed";
    this.grid.dataset["panel"] = open.panel ? "open" : "closed";
    if (isFocusHidden(this.grid)) this.centre.focus();
    if (this.model.frame >= 0) this.header.refresh(open.rail, open.panel);
    if (open.rail && this.model.frame >= 0) this.threshold.draw();
  }

  /** Give the graph its room when the viewer's width changes class. */
  private arrange(): void {
    const width = this.element.clientWidth;
    const size = (px: number) => (px < SLIM ? 0 : px < NARROW ? 1 : 2);
    const isSame = this.width > 0 && size(width) === size(this.width);
    this.width = width;
    if (isSame || width === 0) return;
    const selected = this.model.selection !== null;
    this.setOpen([{ rail: false, panel: selected }, { rail: true, panel: selected }, { rail: true, panel: true }][size(width)]!);
  }

  setTheme(name: "light" | "dark"): void {
    this.theme = THEMES[name];
    applyTheme(this.element, this.theme);
    this.stage.setTheme(this.theme);
    this.centre.setTheme(this.theme);
    if (this.model.frame < 0) return;
    this.matrix.build(this.theme);
    this.threshold.setTheme(this.theme);
    this.showDetails();
  }

  private gestures() {
    const { stage, model } = this;
    return {
      turn: (dx: number, dy: number) => this.moving(() => stage.turn(dx, dy)),
      shift: (dx: number, dy: number) => this.moving(() => stage.shift(dx, dy)),
      zoom: (factor: number, x: number, y: number) => this.moving(() => stage.zoom(factor, x, y)),
      point: (x: number, y: number) => this.point(x, y),
      leave: () => this.point(-1e6, -1e6),
      click: (x: number, y: number) => {
        stage.canvas.focus();
        this.showTip(null, 0, 0);
        model.select(stage.pick(x, y));
      },
      home: () => stage.fit(true),
      get turns() {
        return model.choice.view === "3d";
      },
    };
  }

  private moving(move: () => void): void {
    this.showTip(null, 0, 0);
    move();
    this.published.publish();
  }

  private pointRequest = 0;

  /** Preview what lies under the pointer, once per frame. */
  private point(x: number, y: number): void {
    cancelAnimationFrame(this.pointRequest);
    this.pointRequest = requestAnimationFrame(() => {
      if (this.model.frame < 0) return;
      const found = this.stage.pick(x, y);
      this.stage.canvas.dataset["over"] = found ? "yes" : "no";
      this.showTip(found, x, y);
      if (JSON.stringify(found) !== JSON.stringify(this.model.hover)) this.model.preview(found);
    });
  }

  private showTip(selection: Selection | null, x: number, y: number): void {
    const chosen = this.model.selection;
    const isChosen =
      (chosen?.kind === "token" && selection?.kind === "token" && chosen.side === selection.side && chosen.token === selection.token) ||
      (chosen?.kind === "edge" && selection?.kind === "edge" && JSON.stringify(chosen.edge) === JSON.stringify(selection.edge)) ||
      (chosen?.kind === "answer" && selection?.kind === "answer" && chosen.answer === selection.answer);
    this.tip.hidden = selection === null || isChosen;
    if (!selection || isChosen) return;
    this.tip.textContent = describe(this.model, selection);
    placeTip(this.tip, this.stage.element, x, y);
  }

  private onKey(event: KeyboardEvent): void {
    if (this.model.frame < 0) return;
    const did = this.centre.view?.press?.(event) || pressKey(event, this.model, this.stage, {
      search: () => this.header.search.focus(),
      help: () => this.help.show(),
      closeDrawer: (which) => this.closeDrawer(which),
      frame: (step) => {
        this.frames.stop();
        void this.show(Math.max(0, Math.min(this.model.page.frames.length - 1, this.model.frame + step)));
      },
    });
    if (!did) return;
    this.showTip(null, 0, 0);
    event.preventDefault();
  }

  /** Close a drawer that lies over the graph; returns whether one was open. */
  private closeDrawer(which: "rail" | "any"): boolean {
    const isOpen = this.open.rail || (which === "any" && this.open.panel);
    if (this.width >= SLIM || !isOpen) return false;
    this.setOpen({ rail: false, panel: which === "any" ? false : this.open.panel });
    this.centre.focus(); // what had it may be gone
    return true;
  }

  private find(text: string, isFinal: boolean): void {
    if (this.model.frame < 0) return;
    const found = this.strip.find(text);
    if (!isFinal || !found.length) {
      this.spoken.textContent = text ? `${plural(found.length, "token")} found` : "";
      return;
    }
    const now = this.model.selection;
    const at = found.findIndex((one) => now?.kind === "token" && now.side === one.side && now.token === one.token);
    this.model.select({ kind: "token", ...found[(at + 1) % found.length]!, plane: 0 });
  }

  /** What is shown, as plain data. */
  state(): State {
    const { model } = this;
    if (model.frame < 0) return { frame: model.frame, theme: this.theme.name };
    const { graph } = model;
    const held = model.held();
    const shown = held.count;
    return {
      ...chosenState(model), camera: this.stage.placedCamera(), threshold: model.limit(),
      shown, total: graph.total, mass: graph.mass > 0 ? held.mass / graph.mass : null,
      dropped: graph.dropped, uniform: graph.flatHeads, theme: this.theme.name, open: this.open,
    };
  }

  screenOf(node: { side: number; plane: number; token: number }): { x: number; y: number } | null {
    return screenOfNode(this.stage, nodeOf(this.model.index, node.side, node.plane, node.token));
  }

  screenOfEdge(k: number): { x: number; y: number; isFree: boolean } | null {
    return screenOfEdge(this.stage, k);
  }

  /** Draw now and tell how: see Stage. */
  drawn(only: number | null = null): Drawn {
    return this.stage.drawn(only);
  }

  destroy(): void {
    this.stop.abort();
    this.stopGestures();
    this.frames.stop();
    for (const observer of this.observers) observer.disconnect();
    cancelAnimationFrame(this.pointRequest);
    this.published.destroy();
    this.centre.destroy();
    this.model.loader?.stop();
    this.stage.destroy();
    this.element.remove();
  }
}
