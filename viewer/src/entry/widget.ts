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

  private readonly asking = new Map<string, (answer: unknown) => void>();

  /** What asks the kernel to run its model without one of its parts; undefined where it cannot. */
  get knockOut(): ((request: object) => Promise<unknown>) | undefined {
    if (this.host.get("_knocks") !== true) return undefined;
    return (request) => new Promise((resolve) => {
      const id = crypto.getRandomValues(new Uint32Array(2)).join("-"); // several windows may ask
      this.asking.set(id, resolve);
      this.host.send({ kind: "knock_out", id, request });
    });
  }

  /** Take the kernel's answer; every view of the widget is told it, and the first takes it. */
  answered(content: unknown): boolean {
    const said = asRecord(content);
    if (said?.["kind"] !== "knocked_out") return false;
    const id = String(said["id"]);
    this.asking.get(id)?.(said["answer"]);
    this.asking.delete(id);
    return true;
  }

  shown(tookMs: number): void {
    this.host.send({ kind: "shown", version: this.version, took_ms: tookMs });
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

/** In Jupyter, hide the still picture beneath a running widget, which may come later; returns what shows it again. */
function hideStill(element: HTMLElement): () => void {
  const output = element.closest(".jp-OutputArea-child");
  if (!output?.parentElement) return () => {};
  const set = (display: string) => {
    const next = output.nextElementSibling;
    if (next instanceof HTMLElement && next.querySelector(STILL)) next.style.setProperty("display", display);
  };
  const observer = new MutationObserver(() => set("none"));
  observer.observe(output.parentElement, { childList: true, subtree: true });
  set("none");
  return () => {
    observer.disconnect();
    set("");
  };
}

/** What the notebook around an element looks like; null where it does not say. */
function hostTheme(): "light" | "dark" | null {
  const { body, documentElement: page } = document;
  const jupyter = body.dataset["jpThemeLight"];
  if (jupyter !== undefined) return jupyter === "false" ? "dark" : "light";
  const named = [...body.classList, ...page.classList, body.dataset["theme"], page.dataset["theme"], page.getAttribute("theme")];
  if (named.some((name) => /^(vscode-)?(dark|high-contrast)$/.test(name ?? ""))) return "dark";
  return named.some((name) => /^(vscode-)?(light|high-contrast-light)$/.test(name ?? "")) ? "light" : null;
}

/** Follow the notebook when it turns light or dark; returns what stops it. */
function followTheme(follow: (theme: "light" | "dark") => void): () => void {
  let known = hostTheme();
  const observer = new MutationObserver(() => {
    const theme = hostTheme();
    if (theme && theme !== known) follow(theme);
    known = theme;
  });
  for (const element of [document.body, document.documentElement]) observer.observe(element, { attributes: true });
  return () => observer.disconnect();
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
  let showStill: (() => void) | null = null;
  const open = () => {
    if (!data.page) return;
    const selection = host.get("selection");
    const theme = hostTheme();
    const opened = (handle = mount(frame, data.page, {
      state: { ...(theme && { theme }), ...data.seen, ...(selection ? { selection } : null) },
      ...(data.knockOut && { knockOut: data.knockOut }),
      onSelect: (selected) => isOpen && data.select(JSON.parse(JSON.stringify(selected))),
      onState: () => host.send({ kind: "seen", state: (data.seen = opened.state()) }),
    }));
    void opened.shown.then(() => {
      isOpen = true;
      if (handle) showStill = hideStill(element);
    });
  };
  const onMessage = async (content: unknown, buffers: unknown): Promise<void> => {
    if (data.answered(content)) return;
    const state = data.asked(content);
    if (state) {
      await handle?.apply(state);
      return;
    }
    if (!data.receive(content, buffers)) return;
    const begun = performance.now();
    if (handle) await handle.load(data.page!);
    else open();
    data.shown(performance.now() - begun);
  };
  const listener = (...values: unknown[]) => void onMessage(values[0], values[1]);
  host.on("msg:custom", listener);
  const stop = data.onSelect((selection) => void handle?.apply({ selection }));
  const stopTheme = followTheme((theme) => void handle?.apply({ theme }));
  open();
  data.greet();
  return () => {
    stop();
    stopTheme();
    host.off("msg:custom", listener);
    handle?.destroy();
    handle = null;
    showStill?.();
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
