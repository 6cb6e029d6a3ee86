/** One picture: nodes, edges and planes, what is nearest to the reader first. */

import { openContext, type Frame } from "./context";
import { EdgeProgram, type EdgeBatch, type EdgeStyle } from "./edges/index";
import { NodeProgram, type Atlas, type NodeBatch } from "./nodes/index";
import { PlaneProgram, type PlaneShape } from "./planes/index";

export const RAMP_STEPS = 32;
export const RAMP_ROWS = 16;

export type BatchName = "marked" | "main" | "fixed";

export interface Picture {
  readonly frame: Frame;
  readonly dots: number;
  readonly pictures: number;
  readonly edges: Record<BatchName, { count: number; style: EdgeStyle }>;
  readonly only: number | null; // the one main edge that is drawn; -1: none, null: all
  readonly planes: readonly PlaneShape[];
}

type Axes = readonly [readonly number[], readonly number[]];

export class Renderer {
  private readonly gl: WebGL2RenderingContext;
  private readonly edges: EdgeProgram;
  private readonly nodes: NodeProgram;
  private readonly planes: PlaneProgram;
  private readonly batches: Record<BatchName, EdgeBatch>;
  private readonly ramp: WebGLTexture;
  private axes: Axes = [[1, 0, 0], [0, 1, 0]];

  constructor(private readonly canvas: HTMLCanvasElement) {
    const gl = (this.gl = openContext(canvas));
    this.edges = new EdgeProgram(gl);
    this.nodes = new NodeProgram(gl);
    this.planes = new PlaneProgram(gl);
    this.batches = { marked: this.edges.batch(), main: this.edges.batch(), fixed: this.edges.batch() };
    this.ramp = gl.createTexture();
    gl.bindVertexArray(gl.createVertexArray());
    gl.disable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    gl.enable(gl.BLEND);
    // "Under": what is drawn first stays on top, so strong edges cover weak ones from every angle.
    gl.blendFunc(gl.ONE_MINUS_DST_ALPHA, gl.ONE);
  }

  /** Store the colours: RAMP_ROWS rows of RAMP_STEPS colours, RGBA bytes. */
  setRamp(rgba: Uint8Array): void {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.ramp);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, RAMP_STEPS, RAMP_ROWS, 0, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    }
  }

  setCurves(name: BatchName, curves: Float32Array): void {
    this.batches[name].curves.write(curves);
  }

  /** Store looks: strength, hue row, dashes, taper; bytes. */
  setLooks(name: BatchName, looks: Uint8Array): void {
    this.batches[name].looks.write(looks);
  }

  setNodes(name: NodeBatch, nodes: Float32Array, axes: Axes): void {
    this.nodes.write(name, nodes, axes);
    this.axes = axes;
  }

  setAtlas(atlas: Atlas): void {
    this.nodes.setAtlas(atlas);
  }

  draw(picture: Picture): void {
    const { gl, canvas } = this;
    const { frame } = picture;
    const [width, height] = frame.size.map((length) => Math.max(1, Math.round(length * frame.dpr))) as [number, number];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.activeTexture(gl.TEXTURE2);
    gl.bindTexture(gl.TEXTURE_2D, this.ramp);
    this.nodes.draw("dots", picture.dots, frame);
    for (const name of ["marked", "main", "fixed"] as const) {
      const { count, style } = picture.edges[name];
      this.edges.draw(this.batches[name], count, style, frame, name === "main" ? picture.only : null);
    }
    this.nodes.draw("pictures", picture.pictures, frame);
    this.planes.draw(picture.planes, this.axes, frame);
  }

  /** Give the context back: browsers keep only some 16. */
  destroy(): void {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
