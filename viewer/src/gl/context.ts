/** Small steps of WebGL2 that every program needs. */

// Width of data textures: every WebGL2 device takes at least 2048.
export const DATA_WIDTH = 2048;

export class GlFault extends Error {
  override name = "GlFault";
}

/** Get a WebGL2 context whose picture has a see-through background. */
export function openContext(canvas: HTMLCanvasElement): WebGL2RenderingContext {
  const gl = canvas.getContext("webgl2", {
    alpha: true, premultipliedAlpha: true, antialias: false, depth: true, stencil: false,
    preserveDrawingBuffer: false, powerPreference: "high-performance",
  });
  if (!gl) {
    throw new GlFault(
      "This browser gave no WebGL2 context, so the graph cannot be drawn. Switch on hardware acceleration " +
        "(or software WebGL), close other 3D pages, or use another browser. The panels work without it.",
    );
  }
  return gl;
}

export function compile(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(type);
    if (!shader) throw new GlFault("The graphics context was lost while its programs were built.");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = (gl.getAttachedShaders(program) ?? []).map((shader) => gl.getShaderInfoLog(shader) ?? "");
    throw new GlFault(`A graphics program did not build: ${logs.join(" ").trim() || gl.getProgramInfoLog(program)}`);
  }
  return program;
}

/** Look up uniforms by name. */
export function uniforms<Name extends string>(
  gl: WebGL2RenderingContext, program: WebGLProgram, names: readonly Name[],
): Record<Name, WebGLUniformLocation | null> {
  return Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)])) as Record<
    Name, WebGLUniformLocation | null
  >;
}

/** A texture that holds numbers in rows of DATA_WIDTH texels; its store is re-used while it is large enough. */
export class DataTexture {
  private readonly texture: WebGLTexture;
  private rows = 0;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly kind: "floats" | "bytes", // four of them a texel
  ) {
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    }
  }

  /** Store `data`, four numbers a texel. */
  write(data: Float32Array | Uint8Array): void {
    const { gl } = this;
    const isFloat = this.kind === "floats";
    const type = isFloat ? gl.FLOAT : gl.UNSIGNED_BYTE;
    const rows = Math.max(1, Math.ceil(data.length / 4 / DATA_WIDTH));
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    if (rows > this.rows) {
      const inner = isFloat ? gl.RGBA32F : gl.RGBA8;
      gl.texImage2D(gl.TEXTURE_2D, 0, inner, DATA_WIDTH, rows, 0, gl.RGBA, type, null);
      this.rows = rows;
    }
    const whole = Math.floor(data.length / 4 / DATA_WIDTH);
    const cut = whole * DATA_WIDTH * 4;
    if (whole) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, DATA_WIDTH, whole, gl.RGBA, type, data.subarray(0, cut));
    const rest = (data.length - cut) / 4;
    if (rest) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, whole, rest, 1, gl.RGBA, type, data.subarray(cut));
  }

  bind(unit: number): void {
    this.gl.activeTexture(this.gl.TEXTURE0 + unit);
    this.gl.bindTexture(this.gl.TEXTURE_2D, this.texture);
  }
}

/** What every program draws with: the camera and the size of the canvas. */
export interface Frame {
  readonly matrix: Float32Array;
  readonly size: readonly [number, number]; // CSS pixels
  readonly dpr: number;
}
