/** Nodes: discs of a radius in pixels, or pictures that lie in their plane. */

import { compile, DataTexture, uniforms, type Frame } from "../context";
import { frag } from "./frag";
import { vert } from "./vert";

const NAMES = ["uNodes", "uMatrix", "uSize", "uAcross", "uUp", "uDpr", "uAtlas", "uRamp", "uPictures"] as const;

/** Pictures of equal size side by side, RGBA. */
export interface Atlas {
  readonly columns: number;
  readonly rows: number;
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

export const FLOATS_PER_NODE = 8;

/** Dots lie on the edges, pictures under them. */
export type NodeBatch = "dots" | "pictures";

export class NodeProgram {
  private readonly program: WebGLProgram;
  private readonly at;
  private readonly batches: Record<NodeBatch, DataTexture>;
  private readonly pictures: WebGLTexture;
  private grid: [number, number] = [1, 1];
  private axes: readonly [readonly number[], readonly number[]] = [[1, 0, 0], [0, 1, 0]];

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.program = compile(gl, vert, frag);
    this.at = uniforms(gl, this.program, NAMES);
    this.batches = { dots: new DataTexture(gl, "floats"), pictures: new DataTexture(gl, "floats") };
    this.pictures = gl.createTexture();
    this.setAtlas({ columns: 1, rows: 1, width: 1, height: 1, rgba: new Uint8Array(4) });
  }

  setAtlas(atlas: Atlas): void {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.pictures);
    gl.texImage2D(
      gl.TEXTURE_2D, 0, gl.RGBA8, atlas.width, atlas.height, 0, gl.RGBA, gl.UNSIGNED_BYTE, atlas.rgba,
    );
    // Pixels of a patch stay sharp when they are enlarged.
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    }
    this.grid = [atlas.columns, atlas.rows];
  }

  /** Store nodes: x, y, z, radius, colour row, ring row (15: none), picture (-1: none), alpha. */
  write(name: NodeBatch, nodes: Float32Array, axes: readonly [readonly number[], readonly number[]]): void {
    this.batches[name].write(nodes);
    this.axes = axes;
  }

  draw(name: NodeBatch, count: number, frame: Frame): void {
    if (count <= 0) return;
    const { gl, at } = this;
    gl.useProgram(this.program);
    this.batches[name].bind(0);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, this.pictures);
    gl.uniform1i(at.uNodes, 0);
    gl.uniform1i(at.uPictures, 1);
    gl.uniform1i(at.uRamp, 2);
    gl.uniformMatrix4fv(at.uMatrix, false, frame.matrix);
    gl.uniform2f(at.uSize, ...(frame.size as [number, number]));
    gl.uniform3fv(at.uAcross, this.axes[0]);
    gl.uniform3fv(at.uUp, this.axes[1]);
    gl.uniform1f(at.uDpr, frame.dpr);
    gl.uniform2i(at.uAtlas, ...this.grid);
    gl.drawArrays(gl.TRIANGLES, 0, count * 6);
  }
}
