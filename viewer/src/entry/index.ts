/** The script of a page: defines `headscape.mount`, and shows the data that the page carries. */

import { mount as mountViewer, showFault, type Handle } from "../ui/mount";
import { adoptStyle } from "../ui/style";
import type { Hooks } from "../ui/viewer";
import { FormatFault } from "../wire/fault";
import { decodeBase64 } from "../wire/inflate";
import type { Page } from "../wire/page";

declare global {
  var headscape: { mount: typeof mount; widget?: () => object };
  var headscapeViews: Handle[];
}

/** Show a page in an element. The handle's destroy() gives everything back. */
function mount(element: HTMLElement, data: Uint8Array | Page, hooks: Hooks = {}): Handle {
  const handle = mountViewer(element, data, hooks);
  const views = (globalThis.headscapeViews ??= []);
  views.push(handle);
  return {
    ...handle,
    destroy: () => {
      const at = views.indexOf(handle);
      if (at >= 0) views.splice(at, 1);
      handle.destroy();
    },
  };
}

globalThis.headscape = { mount };
globalThis.headscapeViews ??= [];

/** Find the data that the page carries, and fill the page with its viewer. */
function start(): void {
  const data = document.getElementById("headscape-data");
  const element = document.getElementById("headscape");
  if (!data || !element) return;
  document.body.style.setProperty("margin", "0");
  element.style.setProperty("height", "100vh");
  element.style.setProperty("height", "100dvh");
  try {
    mount(element, decodeBase64(data.textContent ?? ""), { ownsPage: true });
    data.remove(); // its text would stay in memory beside the bytes
  } catch (fault) {
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    adoptStyle(root);
    showFault(root, fault instanceof FormatFault ? fault.message : String(fault));
    element.dataset["ready"] = "true";
  }
}

// A module, as notebooks load it, is no current script.
if (document.currentScript) start();
