/** Edges: curves of a width in pixels, the first of a batch on top. */

import { compile, DataTexture, uniforms, type Frame } from "../context";
import { frag } from "./frag";
import { vert } from "./vert";

const NAMES = ["uCurves", "uLooks", "uRamp", "uMatrix", "uSize", "uWidth", "uAlpha", "uDpr", "uPieces", "uCasing", "uDepth"] as const;
// Quads along one curve, and quads in one picture: what software GL still draws while a person watches.
const MOST_PIECES = 40;
const LEAST_PIECES = 5;
const QUADS_OF_FRAME = 90_000;

/** Edges that change together. */
export interface EdgeBatch {
  readonly curves: DataTexture;
  readonly looks: DataTexture;
}

export interface EdgeStyle {
  readonly width: readonly [number, number]; // CSS pixels, weakest and strongest
  readonly alpha: readonly [number, number];
  readonly casing: number; // CSS pixels around a line that weaker lines leave free; -1: lines are seen through
}

export class EdgeProgram {
  private readonly program: WebGLProgram;
  private readonly at;

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.program = compile(gl, vert, frag);
    this.at = uniforms(gl, this.program, NAMES);
  }

  batch(): EdgeBatch {
    return { curves: new DataTexture(this.gl, "floats"), looks: new DataTexture(this.gl, "bytes") };
  }

  /** Draw the first `count` edges of a batch, or `only` one of them (-1: none); the ramp is bound to unit 2. */
  draw(batch: EdgeBatch, count: number, style: EdgeStyle, frame: Frame, only: number | null = null): void {
    if (count <= 0 || (only !== null && (only < 0 || only >= count))) return;
    const { gl, at } = this;
    gl.useProgram(this.program);
    batch.curves.bind(0);
    batch.looks.bind(1);
    gl.uniform1i(at.uCurves, 0);
    gl.uniform1i(at.uLooks, 1);
    gl.uniform1i(at.uRamp, 2);
    gl.uniformMatrix4fv(at.uMatrix, false, frame.matrix);
    gl.uniform2f(at.uSize, ...(frame.size as [number, number]));
    gl.uniform2f(at.uWidth, ...(style.width as [number, number]));
    gl.uniform2f(at.uAlpha, ...(style.alpha as [number, number]));
    gl.uniform1f(at.uDpr, frame.dpr);
    gl.uniform1f(at.uCasing, style.casing);
    gl.uniform2f(at.uDepth, -1, 2 / (count + 1));
    if (style.casing >= 0) gl.enable(gl.DEPTH_TEST);
    const pieces = Math.max(LEAST_PIECES, Math.min(MOST_PIECES, Math.floor(QUADS_OF_FRAME / count)));
    gl.uniform1i(at.uPieces, pieces);
    const perEdge = pieces * 6;
    gl.drawArrays(gl.TRIANGLES, (only ?? 0) * perEdge, (only === null ? count : 1) * perEdge); // gl_VertexID counts from the first
    gl.disable(gl.DEPTH_TEST);
  }
}
