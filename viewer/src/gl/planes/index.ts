/** Planes: faint discs or sheets behind the nodes of one layer. */

import { compile, uniforms, type Frame } from "../context";
import { frag } from "./frag";
import { vert } from "./vert";

const NAMES = ["uMatrix", "uCentre", "uAcross", "uUp", "uHalf", "uFill", "uRim", "uRound"] as const;

export interface PlaneShape {
  readonly centre: readonly number[];
  readonly half: readonly [number, number];
  readonly isRound: boolean;
  readonly fill: readonly [number, number, number, number];
  readonly rim: readonly [number, number, number, number];
}

export class PlaneProgram {
  private readonly program: WebGLProgram;
  private readonly at;

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.program = compile(gl, vert, frag);
    this.at = uniforms(gl, this.program, NAMES);
  }

  /** Draw planes, the nearest first. */
  draw(planes: readonly PlaneShape[], axes: readonly [readonly number[], readonly number[]], frame: Frame): void {
    const { gl, at } = this;
    gl.useProgram(this.program);
    gl.uniformMatrix4fv(at.uMatrix, false, frame.matrix);
    gl.uniform3fv(at.uAcross, axes[0]);
    gl.uniform3fv(at.uUp, axes[1]);
    for (const plane of planes) {
      gl.uniform3fv(at.uCentre, plane.centre);
      gl.uniform2f(at.uHalf, ...(plane.half as [number, number]));
      gl.uniform4fv(at.uFill, plane.fill);
      gl.uniform4fv(at.uRim, plane.rim);
      gl.uniform1f(at.uRound, plane.isRound ? 1 : 0);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}
