/** Mouse, touch and pen on the canvas, told as turns, shifts, zooms and clicks. */

export interface GestureTarget {
  turn(dx: number, dy: number): void; // CSS pixels
  shift(dx: number, dy: number): void;
  zoom(factor: number, x: number, y: number): void; // about a point of the canvas
  point(x: number, y: number): void;
  leave(): void;
  click(x: number, y: number): void;
  home(): void;
  readonly turns: boolean; // a plain drag turns; else it shifts
}

// A press that moves less is a click.
const CLICK_PX = 5;
const WHEEL_RATE = 0.0016;

interface Finger {
  x: number;
  y: number;
}

/** Listen on an element; returns what stops listening. */
export function listenToGestures(element: HTMLElement, target: GestureTarget): () => void {
  const fingers = new Map<number, Finger>();
  const stop = new AbortController();
  let moved = 0;
  let shifts = false;
  const place = (event: MouseEvent): Finger => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const options = { signal: stop.signal };

  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button > 2) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    if (fingers.size === 1) moved = 0;
    else moved = CLICK_PX; // two fingers never click
    shifts = event.shiftKey || event.button === 1 || event.button === 2;
  }, options);

  element.addEventListener("pointermove", (event) => {
    const now = place(event);
    const last = fingers.get(event.pointerId);
    if (!last) {
      if (event.pointerType !== "touch") target.point(now.x, now.y);
      return;
    }
    const [dx, dy] = [now.x - last.x, now.y - last.y];
    moved += Math.abs(dx) + Math.abs(dy);
    if (fingers.size === 1) {
      if (moved < CLICK_PX) return;
      if (target.turns && !shifts) target.turn(dx, dy);
      else target.shift(dx, dy);
    } else pinch(fingers, event.pointerId, now, target);
    fingers.set(event.pointerId, now);
  }, options);

  const release = (event: PointerEvent, isClick: boolean) => {
    if (!fingers.delete(event.pointerId)) return;
    const { x, y } = place(event);
    if (isClick && moved < CLICK_PX && event.button === 0) target.click(x, y);
  };
  element.addEventListener("pointerup", (event) => release(event, true), options);
  element.addEventListener("pointercancel", (event) => release(event, false), options);
  element.addEventListener("pointerleave", () => target.leave(), options);
  element.addEventListener("contextmenu", (event) => event.preventDefault(), options);
  element.addEventListener("dblclick", () => target.home(), options);
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    const step = event.deltaMode === 1 ? event.deltaY * 20 : event.deltaY;
    target.zoom(Math.exp(-Math.max(-200, Math.min(200, step)) * WHEEL_RATE), x, y);
  }, { ...options, passive: false });
  return () => stop.abort();
}

/** Two fingers: their distance zooms, their middle shifts. */
function pinch(fingers: Map<number, Finger>, id: number, now: Finger, target: GestureTarget): void {
  const other = [...fingers].find(([finger]) => finger !== id)?.[1];
  const last = fingers.get(id);
  if (!other || !last) return;
  const before = Math.hypot(last.x - other.x, last.y - other.y);
  const after = Math.hypot(now.x - other.x, now.y - other.y);
  target.shift((now.x - last.x) / 2, (now.y - last.y) / 2);
  if (before > 1 && after > 1) target.zoom(after / before, (now.x + other.x) / 2, (now.y + other.y) / 2);
}
