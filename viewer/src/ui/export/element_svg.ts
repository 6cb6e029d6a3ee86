/** A view that is made of elements (canvases, text, boxes) as an SVG document. */

import { page, tag } from "./svg";

// What an element of an SVG gets from style sheets, which do not travel with it.
const DRAWN = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity", "display",
  "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "paint-order",
];

interface Frame {
  readonly left: number; // of the whole picture
  readonly top: number;
  readonly clip: DOMRect;
}

/** What is seen of an element, as a document of its own. */
export function elementSvg(root: HTMLElement, paper: string, title: string, caption: string): SVGElement {
  const box = root.getBoundingClientRect();
  const out = page(box.width, box.height, paper, title, caption);
  copyElement(root, { left: box.left, top: box.top, clip: box }, out);
  return out;
}

function copyElement(element: Element, frame: Frame, out: SVGElement): void {
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  if (style.visibility === "hidden" || style.display === "none" || !meets(box, frame.clip)) return;
  const place = { x: box.left - frame.left, y: box.top - frame.top, width: box.width, height: box.height };
  if (element instanceof SVGElement) {
    out.append(copySvg(element, place));
    return;
  }
  out.append(tag("rect", { ...place, fill: style.backgroundColor, opacity: style.opacity }));
  if (element instanceof HTMLCanvasElement && element.width && element.height) {
    out.append(tag("image", { ...place, preserveAspectRatio: "none", href: element.toDataURL() }));
  }
  const inner = style.overflow === "visible" ? frame : { ...frame, clip: overlap(box, frame.clip) };
  for (const child of element.childNodes) {
    if (child instanceof Element) copyElement(child, inner, out);
    else if (child instanceof Text && child.data.trim()) copyText(child, style, inner, out);
  }
}

function copySvg(element: SVGElement, place: Record<string, number>): SVGElement {
  const copy = element.cloneNode(true) as SVGElement;
  const [from, to] = [[element, ...element.querySelectorAll("*")], [copy, ...copy.querySelectorAll("*")]];
  from.forEach((one, n) => {
    const style = getComputedStyle(one);
    for (const name of DRAWN) to[n]!.setAttribute(name, style.getPropertyValue(name));
  });
  for (const [name, value] of Object.entries(place)) copy.setAttribute(name, String(value));
  return copy;
}

/** Text where it stands: a whole line, or word by word where it is wrapped. */
function copyText(node: Text, style: CSSStyleDeclaration, frame: Frame, out: SVGElement): void {
  const range = document.createRange();
  range.selectNodeContents(node);
  const isWrapped = range.getClientRects().length > 1;
  const words = isWrapped ? [...node.data.matchAll(/\S+/g)].map((found) => [found.index, found.index + found[0].length] as const) : [[0, node.length] as const];
  for (const [start, end] of words) {
    range.setStart(node, start);
    range.setEnd(node, end);
    const box = range.getBoundingClientRect();
    if (!meets(box, frame.clip)) continue;
    const size = Number.parseFloat(style.fontSize);
    out.append(tag("text", {
      x: box.left - frame.left, y: (box.top + box.bottom) / 2 - frame.top + 0.35 * size, fill: style.color, opacity: style.opacity,
      "font-family": style.fontFamily, "font-size": size, "font-weight": style.fontWeight, "xml:space": "preserve",
    }, node.data.slice(start, end)));
  }
}

function overlap(a: DOMRect, b: DOMRect): DOMRect {
  const [left, top] = [Math.max(a.left, b.left), Math.max(a.top, b.top)];
  return new DOMRect(left, top, Math.min(a.right, b.right) - left, Math.min(a.bottom, b.bottom) - top);
}

/** Whether the middle of a box, or some of a larger one, is within another. */
function meets(box: DOMRect, clip: DOMRect): boolean {
  return box.width > 0 && box.height > 0 && box.left < clip.right - 1 && box.right > clip.left + 1 && box.top < clip.bottom - 1 && box.bottom > clip.top + 1;
}
