/** A canvas that holds a graphics context only while somebody may look at it, and a still picture else. */

import { GlFault } from "../gl/context";
import { Renderer } from "../gl/renderer";
import { make } from "./element";

// Chromium keeps 16 contexts in a tab and takes the oldest away; some are left to others.
const MOST_OPEN = 8;
// Distance at which a viewer gets ready to be seen: half a window.
const NEAR = "50%";

interface Doings {
  opened(): void; // send everything to the new renderer
  draw(): void; // now
  fault(text: string | null): void;
}

/** Surfaces with a context, the one drawn last at the end; of all copies of this script in the page. */
function opened(): Set<Surface> {
  const shared = globalThis as { headscapeSurfaces?: Set<Surface> };
  return (shared.headscapeSurfaces ??= new Set());
}

export class Surface {
  readonly still = make("canvas", { class: "still", attributes: { hidden: "", "aria-hidden": "true" } });
  renderer: Renderer | null = null;
  isNear = false;
  isFaulty = false;
  private state: "none" | "open" | "asleep" | "lost" = "none";
  private isWanted = false; // as soon as the browser lets it be restored
  private mayRestore = false;
  private giver: WEBGL_lose_context | null = null;
  private observer: IntersectionObserver | null = null;

  constructor(readonly canvas: HTMLCanvasElement, private readonly doings: Doings) {
    canvas.addEventListener("webglcontextlost", (event) => this.onLost(event));
    canvas.addEventListener("webglcontextrestored", () => {
      if (this.isWanted || this.state === "lost") this.open();
      this.isWanted = false;
    });
  }

  /** Open now, or when somebody may see it. */
  start(isAlwaysOn: boolean): void {
    if (isAlwaysOn || typeof IntersectionObserver === "undefined") {
      this.isNear = true;
      this.open();
      return;
    }
    const range = { rootMargin: NEAR, scrollMargin: NEAR }; // of the window, and of what scrolls within it
    this.observer = new IntersectionObserver((entries) => {
      this.isNear = entries.at(-1)!.isIntersecting;
      if (this.isNear) this.wake();
      else this.sleep();
    }, range);
    this.observer.observe(this.canvas);
  }

  private open(): void {
    try {
      this.renderer = new Renderer(this.canvas);
    } catch (fault) {
      if (!(fault instanceof GlFault)) throw fault;
      this.isFaulty = true;
      this.doings.fault(fault.message);
      return;
    }
    if (this.isFaulty) this.doings.fault(null);
    this.isFaulty = false;
    this.state = "open";
    this.use();
    for (const oldest of opened()) {
      if (opened().size <= MOST_OPEN) break;
      oldest.sleep();
    }
    this.doings.opened();
  }

  /** Take note that the surface is drawn on, and show that rather than the still picture. */
  use(): void {
    opened().delete(this);
    opened().add(this);
    this.still.hidden = true;
  }

  /** Get the context back if it was given away. */
  wake(): void {
    if (this.state === "none" && !this.isFaulty) this.open();
    if (this.state !== "asleep" || this.isWanted) return;
    this.isWanted = true;
    if (this.mayRestore) this.giver?.restoreContext();
  }

  /** Keep a still picture and give the context to others. */
  private sleep(): void {
    this.isWanted = false;
    if (this.state !== "open") return;
    this.doings.draw(); // what was drawn before this task may be gone
    const { still, canvas } = this;
    [still.width, still.height] = [canvas.width, canvas.height];
    still.getContext("2d")?.drawImage(canvas, 0, 0);
    this.giver = canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context") ?? null;
    if (!this.giver) return;
    this.still.hidden = false;
    this.release("asleep");
  }

  private release(state: "none" | "asleep" | "lost"): void {
    this.state = state;
    this.mayRestore = false;
    opened().delete(this);
    const { renderer } = this;
    this.renderer = null;
    if (state !== "lost") renderer?.destroy();
  }

  private onLost(event: Event): void {
    event.preventDefault(); // or it never comes back
    if (this.state === "asleep") {
      this.mayRestore = true;
      // Not in this event, in which the browser does not allow it.
      if (this.isWanted) setTimeout(() => this.isWanted && this.giver?.restoreContext());
    } else if (this.state === "open") {
      this.release("lost");
      this.isFaulty = true;
      this.doings.fault("The graphics context was lost (driver reset, or too many 3D pages). The graph comes back when the browser restores it; the data and your choices are kept.");
    }
  }

  destroy(): void {
    this.observer?.disconnect();
    this.isWanted = false;
    this.release("none");
  }
}
