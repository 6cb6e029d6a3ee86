/** A notebook's widget, run after the viewer's own script: data from a kernel, and what is seen told to Python. */

import type { Handle } from "../ui/mount";
import type { State } from "../ui/state";
import { asRecord, isCount } from "../wire/block";
import { decodeBase64 } from "../wire/inflate";
import { readPage, type Page } from "../wire/page";

/** What every host of an anywidget gives. */
interface Host {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, listener: (...values: unknown[]) => void): void;
  off(event: string, listener: (...values: unknown[]) => void): void;
  send(content: unknown): void;
}

// A 16:10 view in a cell of common width, CSS pixels.
const HEIGHT_PX = 640;
// The size that Python gives its still pictures.
const STILL = 'img[width="800"][height="450"]';

function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value.length ? value : null;
  if (value instanceof ArrayBuffer) return value.byteLength ? new Uint8Array(value) : null;
  const isView = ArrayBuffer.isView(value) && value.byteLength > 0;
  return isView ? new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength) : null;
}

/** The newest page of one widget, which all its views show. */
class Data {
  page: Page | null = null;
  version = -1;
  seen: State; // what the next view opens with
  private asks: number; // how often Python asked for a state
  private isTold = false; // a change that the kernel did not make is under way

  constructor(readonly host: Host) {
    const bytes = bytesOf(host.get("_page"));
    const version = host.get("_page_version");
    const asks = host.get("_asks");
    this.asks = isCount(asks) ? asks : 0;
    this.seen = asRecord(host.get("_seen")) ?? {};
    if (bytes) this.take(bytes, isCount(version) ? version : 0);
  }

  private take(bytes: Uint8Array, version: number): void {
    this.page = readPage(bytes, this.page);
    this.version = version;
  }

  /** Tell the kernel what is here, so that it sends what is missing. */
  greet(takesBuffers = this.page !== null): void {
    const held = this.page?.frames.map((frame) => frame.id) ?? [];
    this.host.send({ kind: "hello", version: this.version, held, buffers: takesBuffers, asks: this.asks });
  }

  /** The state that a message of the kernel asks the views for, or null. */
  asked(content: unknown): State | null {
    const said = asRecord(content);
    if (said?.["kind"] !== "apply") return null;
    if (isCount(said["asks"])) this.asks = said["asks"];
    const state = asRecord(said["state"]) ?? {};
    this.seen = { ...this.seen, ...state };
    return state;
  }

  /** Take a message of the kernel; returns whether it is a page that can be shown. */
  receive(content: unknown, buffers: unknown): boolean {
    const said = asRecord(content);
    const { version, text } = said ?? {};
    if (said?.["kind"] !== "page" || !isCount(version)) return false;
    if (version === this.version) return true; // another view of the same widget took it
    const bytes = typeof text === "string" ? decodeBase64(text) : bytesOf(Array.isArray(buffers) ? buffers[0] : null);
    if (!bytes) {
      this.greet(false); // this host loses binary data: Colab's has done so
      return false;
    }
    try {
      this.take(bytes, version);
    } catch {
      this.version = -1; // it builds on frames that never came
      this.greet(true);
      return false;
    }
    return true;
  }

  shown(): void {
    this.host.send({ kind: "shown", version: this.version });
  }

  /** Tell the kernel what is selected, without hearing of it as if the kernel had done it. */
  select(selection: unknown): void {
    if (JSON.stringify(selection) === JSON.stringify(this.host.get("selection"))) return;
    this.isTold = true;
    this.host.set("selection", selection);
    this.host.save_changes();
    this.isTold = false;
  }

  /** Listen to what Python selects; returns what stops it. */
  onSelect(listener: (selection: unknown) => void): () => void {
    const changed = () => {
      if (!this.isTold) listener(this.host.get("selection"));
    };
    this.host.on("change:selection", changed);
    return () => this.host.off("change:selection", changed);
  }
}

/** In Jupyter, hide the still picture that stands beneath a running widget, or show it again. */
function hideStill(element: HTMLElement, isHidden: boolean): void {
  const next = element.closest(".jp-OutputArea-child")?.nextElementSibling;
  if (!(next instanceof HTMLElement) || !next.querySelector(STILL)) return;
  next.style.setProperty("display", isHidden ? "none" : "");
}

const { mount } = globalThis.headscape;

/** Show one view of a widget; returns what takes it down. */
function render(data: Data, element: HTMLElement): () => void {
  const { host } = data;
  const frame = document.createElement("div");
  frame.style.setProperty("height", `${HEIGHT_PX}px`);
  element.append(frame);
  let handle: Handle | null = null;
  let isOpen = false;
  const open = () => {
    if (!data.page) return;
    const selection = host.get("selection");
    const opened = (handle = mount(frame, data.page, {
      state: selection ? { ...data.seen, selection } : data.seen,
      onSelect: (selected) => isOpen && data.select(JSON.parse(JSON.stringify(selected))),
      onState: () => host.send({ kind: "seen", state: (data.seen = opened.state()) }),
    }));
    void opened.shown.then(() => {
      isOpen = true;
      hideStill(element, true);
      setTimeout(() => handle && hideStill(element, true), 1000); // the picture may come later than the widget
    });
  };
  const onMessage = async (content: unknown, buffers: unknown): Promise<void> => {
    const state = data.asked(content);
    if (state) {
      await handle?.apply(state);
      return;
    }
    if (!data.receive(content, buffers)) return;
    if (handle) await handle.load(data.page!);
    else open();
    data.shown();
  };
  const listener = (...values: unknown[]) => void onMessage(values[0], values[1]);
  host.on("msg:custom", listener);
  const stop = data.onSelect((selection) => void handle?.apply({ selection }));
  open();
  data.greet();
  return () => {
    stop();
    host.off("msg:custom", listener);
    handle?.destroy();
    handle = null;
    hideStill(element, false);
    frame.remove();
  };
}

/** What a host calls; each widget has its own, since its views share their data. */
globalThis.headscape.widget = () => {
  let data: Data | null = null;
  return {
    render: ({ model, el }: { model: Host; el: HTMLElement }) => render((data ??= new Data(model)), el),
  };
};
