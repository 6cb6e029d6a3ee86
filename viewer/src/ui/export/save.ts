/** Files and clipboard, as far as the page may use them. */

import { make } from "../element";

/** Whether the viewer stands in a frame, whose host may forbid it to save files. */
export function isFramed(): boolean {
  try {
    return window.self !== window.top;
  } catch {
    return true;
  }
}

// Time in which every browser has opened the file; then its memory is given back.
const KEPT_MS = 60_000;

/** Give a file to the browser; returns its address, with which it can also be shown. */
export function saveFile(blob: Blob, name: string): string {
  const url = URL.createObjectURL(blob);
  const link = make("a", { attributes: { href: url, download: name } });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
  return url;
}

/** Copy text; returns whether the browser allowed it. */
export async function copyText(text: string, near: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No permission in this frame, or no clipboard: the older way works there after a click.
    const area = make("textarea", { class: "unseen", attributes: { "aria-hidden": "true" } });
    area.value = text;
    near.append(area);
    area.select();
    let isCopied = false;
    try {
      isCopied = document.execCommand("copy");
    } finally {
      area.remove();
    }
    return isCopied;
  }
}

/** Part of a title that every file system takes. */
export function fileName(title: string): string {
  const clean = title.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 60);
  return clean || "headscape";
}
