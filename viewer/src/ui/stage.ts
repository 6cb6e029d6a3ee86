/** The graph: canvases, camera, and drawing on demand. */

import { cameraMatrix, fitCamera, mixCameras, projectPoints, type Camera } from "../maths/camera";
import { FLOATS_PER_NODE } from "../gl/nodes/index";
import type { BatchName, Picture, Renderer } from "../gl/renderer";
import { buildCurves } from "../scene/curves";
import { Edges } from "../scene/edges";
import { Lanes } from "../scene/lanes";
import { placeNodes, type Places } from "../scene/layout";
import { pickEdge, pickNode, projectCurves } from "../scene/pick";
import { nameNode } from "../scene/nodes";
import { scaleEdges } from "../scene/scales";
import { clearedContext, make } from "./element";
import { drawCrosses } from "./crosses";
import { describeDrawn, type Drawn } from "./drawn";
import { drawLabels } from "./labels";
import { edgeLooks, nodeLooks, pictureAtlas, type NodeLooks } from "./looks";
import { markSelection } from "./marks";
import { edgeStyles, fitPoints, marginsOf, planeShapes, startView } from "./views";
import { readCamera, type PlacedCamera } from "./state";
import { Surface } from "./surface";
import { MOST_DRAWN_MOVING, type Change, type Model, type Selection } from "./model";
import { rampBytes, type Theme } from "./theme";

// A view change that the eye can follow.
const TWEEN_MS = 300;
// Quiet time after which a moving picture is drawn in full, and a dragged threshold re-scales.
const REST_MS = 140;
// Edges beyond which a moving picture is drawn at one pixel per CSS pixel.
const MANY_EDGES = 4000;

export class Stage {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly overlay: HTMLCanvasElement;
  readonly surface: Surface;
  camera: Camera | null = null;
  places!: Places;
  private lanes!: Lanes;
  private curves: Float32Array = new Float32Array(0);
  private marked = new Edges();
  private markedCurves: Float32Array = new Float32Array(0);
  lit: Set<number> | null = null;
  sight: Float32Array | null = null;
  screen: Float32Array = new Float32Array(0);
  private radii: Float32Array = new Float32Array(0);
  private flat: { marked: Float32Array; main: Float32Array } | null = null;
  private size: [number, number] = [0, 0];
  private frameRequest = 0;
  private rest = 0;
  private isMoving = false;
  readonly looks: Partial<Record<BatchName, Uint8Array>> = {}; // of the edges, as the renderer has them
  last: { picture: Picture; nodes: NodeLooks } | null = null; // drawn
  private hasMoved = false; // the person moved the camera
  private isDestroyed = false;
  onFirstDraw: (() => void) | null = null;

  constructor(readonly model: Model, public theme: Theme, onFault: (text: string | null) => void) {
    this.canvas = make("canvas", {
      class: "graph",
      attributes: {
        tabindex: "0", role: "application", "aria-roledescription": "attention graph", "aria-describedby": "keys",
        "aria-label": "Attention graph",
      },
    });
    this.overlay = make("canvas", { class: "labels", attributes: { "aria-hidden": "true" } });
    this.surface = new Surface(this.canvas, {
      opened: () => {
        this.renderer!.setRamp(rampBytes(this.theme));
        if (this.model.frame >= 0) this.update("scene");
      },
      draw: () => this.draw(),
      fault: onFault,
    });
    this.element = make("div", { class: "stage" }, this.surface.still, this.canvas, this.overlay);
  }

  private get renderer(): Renderer | null {
    return this.surface.renderer;
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.renderer?.setRamp(rampBytes(theme));
    this.requestDraw();
  }

  /** Follow a change of the model. */
  update(change: Change): void {
    if (this.model.frame < 0) return;
    if (!this.renderer) {
      if (this.surface.isNear) this.surface.wake();
      else this.isReady(); // far from being seen
      return;
    }
    if (change === "scene") {
      const atlas = pictureAtlas(this.model);
      if (atlas) this.renderer.setAtlas(atlas);
    }
    if (change === "scene" || change === "graph") this.buildGeometry();
    if (change === "threshold") this.whenAtRest();
    else this.mark();
    this.requestDraw();
  }

  /** Place nodes and curves, and show all of it unless the person is looking elsewhere. */
  private buildGeometry(): void {
    const { model } = this;
    const margins = marginsOf(model, this.size);
    const aspect = (this.size[0] - margins.left - margins.right) / Math.max(this.size[1] - margins.top - margins.bottom, 50);
    const name = `${model.choice.view} ${model.choice.layout} ${model.choice.layer}`;
    this.places = placeNodes(model.scene, model.index, model.choice, Math.min(4, Math.max(0.4, aspect || 1)));
    const { edges } = model.order;
    this.lanes = new Lanes(edges, model.index.count, Math.max(1, ...model.scene.calls.map((call) => call.heads)));
    this.curves = this.curvesOf(edges, edges.length);
    this.renderer!.setCurves("main", this.curves);
    this.renderer!.setCurves("fixed", this.curvesFor("fixed"));
    const { fixed } = model.graph;
    this.setLooks("fixed", edgeLooks(model, fixed, fixed.length, scaleEdges("rank", fixed)));
    this.restyle();
    if (name !== this.shownView) this.hasMoved = false;
    if (!this.hasMoved) this.fit(this.shownView !== "");
    this.shownView = name;
    if (this.asked !== null && this.camera && this.size[0]) {
      const { asked } = this;
      this.asked = null;
      this.look(asked);
    }
  }
  private shownView = "";

  /** Curves as the renderer has them. */
  curvesFor(name: BatchName): Float32Array {
    const { fixed } = this.model.graph;
    return name === "main" ? this.curves : name === "marked" ? this.markedCurves : this.curvesOf(fixed, fixed.length);
  }

  private curvesOf(edges: Edges, count: number): Float32Array {
    const { choice, index } = this.model;
    const lines = { layout: choice.layout, isStack: choice.view === "3d", lanes: this.lanes, isStraight: choice.scale === "paper" };
    return buildCurves(edges, count, index, this.places, lines);
  }

  /** Scale the edges that are shown, among themselves. */
  private restyle(): void {
    const { model } = this;
    const built = this.curves.length / 16;
    const count = Math.min(model.shown(), built);
    const strength = new Float32Array(built);
    strength.set(scaleEdges(model.choice.scale, model.order.edges, count));
    this.setLooks("main", edgeLooks(model, model.order.edges, built, strength));
  }

  private setLooks(name: BatchName, looks: Uint8Array): void {
    this.looks[name] = looks;
    this.renderer?.setLooks(name, looks);
  }

  private only: number | null = null;

  /** Draw now, one main edge alone or none (-1) if asked to, and tell how edges are drawn. */
  drawn(only: number | null): Drawn {
    this.only = only;
    this.settle(true);
    this.only = null;
    if (only !== null) this.requestDraw();
    const { style } = this.last!.picture.edges.main;
    return describeDrawn(this.size, this.theme.paper, this.model.order.edges, this.flats().main, this.looks.main!, style);
  }

  private whenAtRest(): void {
    clearTimeout(this.rest);
    this.rest = window.setTimeout(() => {
      this.isMoving = false;
      if (this.isDestroyed || !this.renderer) return;
      this.restyle();
      this.requestDraw();
    }, REST_MS);
  }

  /** Edges and nodes of what is selected, or under the pointer. */
  private mark(): void {
    const { edges, lit, sight } = markSelection(this.model);
    this.sight = sight;
    this.marked = edges;
    this.lit = lit;
    this.markedCurves = this.curvesOf(this.marked, this.marked.length);
    this.renderer?.setCurves("marked", this.markedCurves);
    const strength = scaleEdges("rank", this.marked).map((value) => 0.35 + 0.65 * value);
    this.setLooks("marked", edgeLooks(this.model, this.marked, this.marked.length, strength));
    this.flat = null;
  }

  resize(width: number, height: number): void {
    if (width < 2 || height < 2 || (width === this.size[0] && height === this.size[1])) return;
    this.size = [width, height];
    if (this.model.frame >= 0 && this.renderer) {
      this.buildGeometry();
      this.mark();
    }
    this.requestDraw();
  }

  /** Show everything. */
  fit(isSmooth: boolean): void {
    const { model, size } = this;
    if (!this.places || size[0] === 0) return;
    const target = fitCamera(fitPoints(this.places, this.curves), startView(model), size[0], size[1], marginsOf(model, size));
    this.hasMoved = false;
    const from = this.camera;
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!from || !isSmooth || isStill) {
      this.camera = target;
      this.requestDraw();
      return;
    }
    const started = performance.now();
    const step = () => {
      if (this.isDestroyed || this.tween !== started) return;
      const t = Math.min(1, (performance.now() - started) / TWEEN_MS);
      this.camera = mixCameras(from, target, 1 - (1 - t) ** 3);
      this.requestDraw();
      if (t < 1) requestAnimationFrame(step);
    };
    this.tween = started;
    step();
  }
  private tween = 0;

  /** The camera and the canvas that it looks at; null before the first picture. */
  placedCamera(): PlacedCamera | null {
    return this.camera && { ...this.camera, width: this.size[0], height: this.size[1] };
  }

  /** Tell whether the person looks at something else than all of it. */
  get isMoved(): boolean {
    return this.hasMoved;
  }

  private asked: unknown = null; // a camera, before the first picture

  /** Look as another canvas did; returns whether that was a camera. */
  look(value: unknown): boolean {
    const camera = readCamera(value, this.size[0] || 1, this.size[1] || 1);
    if (this.camera === null) this.asked = value;
    if (camera) this.move(() => camera);
    return camera !== null;
  }

  /** Move the camera by hand. */
  move(change: (camera: Camera) => Camera): void {
    if (!this.camera) return;
    this.tween = 0;
    this.camera = change(this.camera);
    this.hasMoved = true;
    this.isMoving = true;
    this.whenStill();
    this.requestDraw();
  }

  private whenStill(): void {
    clearTimeout(this.still);
    this.still = window.setTimeout(() => {
      this.isMoving = false;
      this.requestDraw();
    }, REST_MS);
  }
  private still = 0;

  turn(dx: number, dy: number): void {
    this.move((camera) => ({
      ...camera,
      yaw: camera.yaw - dx * 0.008,
      pitch: Math.max(-1.5, Math.min(1.5, camera.pitch + dy * 0.008)),
    }));
  }

  shift(dx: number, dy: number): void {
    this.move((camera) => ({ ...camera, panX: camera.panX + dx, panY: camera.panY - dy }));
  }

  zoom(factor: number, x = this.size[0] / 2, y = this.size[1] / 2): void {
    this.move((camera) => {
      const scale = Math.min(20_000, Math.max(4, camera.scale * factor));
      const k = scale / camera.scale;
      const [cx, cy] = [x - this.size[0] / 2, this.size[1] / 2 - y];
      return { ...camera, scale, panX: cx - (cx - camera.panX) * k, panY: cy - (cy - camera.panY) * k };
    });
  }

  requestDraw(): void {
    if (!this.frameRequest && !this.isDestroyed) {
      this.frameRequest = requestAnimationFrame(() => {
        this.frameRequest = 0;
        this.draw();
      });
    }
  }

  /** Draw now what would be drawn in the next frame, so that places are those of what is shown. */
  settle(isForced = false): void {
    if (!this.frameRequest && !isForced) return;
    cancelAnimationFrame(this.frameRequest);
    this.frameRequest = 0;
    this.draw();
  }

  /** Draw; `scale` is device pixels a CSS pixel, 0: what the screen has. */
  draw(scale = 0, onlyPatches = false): void {
    const { renderer, camera, model } = this;
    const [width, height] = this.size;
    if (!renderer || !camera || this.isDestroyed || !this.places || width === 0) return;
    const shown = Math.min(model.shown(), this.curves.length / 16);
    const always = model.graph.fixed.length;
    const isRough = scale === 0 && this.isMoving && shown + always > MANY_EDGES;
    const fixedCount = isRough && always > MOST_DRAWN_MOVING / 2 ? 0 : always; // thousands of tokens have more residual lines
    const sharp = scale || Math.min(window.devicePixelRatio || 1, 3);
    this.screen = projectPoints(this.places.positions, camera, width, height);
    this.flat = null;
    const nodes = nodeLooks(model, this.places, this, camera.scale, this.screen);
    this.radii = nodes.radii;
    renderer.setNodes("dots", nodes.dots, this.places.axes);
    renderer.setNodes("pictures", nodes.pictures, this.places.axes);
    const isDim = model.selection !== null || (model.hover !== null && model.hover.kind !== "edge");
    const [main, fixed, marked] = edgeStyles(shown, isDim, Math.min(width, height), model.choice);
    const some = (count: number) => (onlyPatches ? 0 : count);
    const picture: Picture = {
      frame: { matrix: cameraMatrix(camera, width, height), size: [width, height], dpr: isRough ? 1 : sharp },
      dots: some(model.index.count),
      pictures: nodes.pictures.length / FLOATS_PER_NODE,
      edges: {
        marked: { count: some(this.marked.length), style: marked },
        main: { count: some(isRough ? Math.min(shown, MOST_DRAWN_MOVING - fixedCount) : shown), style: main },
        fixed: { count: some(fixedCount), style: fixed },
      },
      planes: model.choice.view === "front" || onlyPatches ? [] : planeShapes(this.places, camera, this.theme),
      only: this.only,
    };
    renderer.draw(picture);
    this.last = { picture, nodes };
    this.drawOverlay(sharp);
    this.surface.use();
    this.isReady();
  }

  private isReady(): void {
    this.onFirstDraw?.();
    this.onFirstDraw = null;
  }

  private drawOverlay(dpr: number): void {
    const [width, height] = this.size;
    const context = clearedContext(this.overlay, width, height, dpr);
    if (!context) return;
    drawLabels(context, width, height, {
      model: this.model, places: this.places, screen: this.screen, radii: this.radii, lit: this.lit, theme: this.theme,
    });
    drawCrosses(context, this);
  }

  /** Projected curves, of the selection and of the shown edges. */
  flats() {
    const { model, camera, size } = this;
    const count = Math.min(model.shown(), this.curves.length / 16);
    return (this.flat ??= {
      marked: projectCurves(this.markedCurves, this.marked.length, camera!, size[0], size[1]),
      main: projectCurves(this.curves, count, camera!, size[0], size[1]),
    });
  }

  /** What lies at a point of the canvas: a token, else an edge of the selection, else a shown edge. */
  pick(x: number, y: number): Selection | null {
    const { model } = this;
    if (!this.camera || this.screen.length === 0) return null;
    const node = pickNode(this.screen, this.radii, x, y);
    if (node >= 0) {
      const name = nameNode(model.index, node);
      return name.kind === "token" ? name : { kind: "answer", answer: name.answer };
    }
    const { marked, main } = this.flats();
    if (model.selection) {
      const found = pickEdge(marked, x, y);
      if (found >= 0) return { kind: "edge", edge: this.marked.at(found) };
    }
    const found = pickEdge(main, x, y);
    return found >= 0 ? { kind: "edge", edge: model.order.edges.at(found) } : null;
  }

  destroy(): void {
    this.isDestroyed = true;
    cancelAnimationFrame(this.frameRequest);
    clearTimeout(this.rest);
    clearTimeout(this.still);
    this.surface.destroy();
  }
}
