/** The page of `headscape serve`: asks its own server for the data. The only script that asks for anything. */

import { LayerLoader } from "../ui/loader";
import type { Source } from "../wire/source";

const file = (document.currentScript as HTMLScriptElement | null)?.dataset["file"] ?? "0";

async function ask(path: string): Promise<Uint8Array> {
  let answer: Response;
  try {
    answer = await fetch(`/data/${file}${path}`, { credentials: "same-origin", redirect: "error" });
  } catch {
    throw new Error("The server does not answer. Start it again with `headscape serve`.");
  }
  if (!answer.ok) throw new Error(`The server says: ${(await answer.text()).slice(0, 500).trim()}`);
  return new Uint8Array(await answer.arrayBuffer());
}

const source: Source = {
  head: (frame) => ask(`/${frame}`),
  call: (frame, call) => ask(`/${frame}/${call}`),
};

async function start(): Promise<void> {
  const element = document.getElementById("headscape")!;
  document.body.style.setProperty("margin", "0");
  element.style.setProperty("height", "100dvh");
  try {
    globalThis.headscape.mount(element, await ask(""), { ownsPage: true, loader: (model) => new LayerLoader(model, source) });
  } catch (fault) {
    element.textContent = fault instanceof Error ? fault.message : String(fault);
    element.dataset["ready"] = "true";
  }
}

void start();
