/** From text and gzip to bytes. */

import { FormatFault } from "./fault";

/** Decode base64; white space is skipped. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  try {
    if (native) return native.call(Uint8Array, text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let n = 0; n < binary.length; n++) bytes[n] = binary.charCodeAt(n);
    return bytes;
  } catch {
    throw new FormatFault("The page's data is not base64 text; the file may be cut off. Write the page again.");
  }
}

/** Gunzip, and stop as soon as more than `limit` bytes come out. */
export async function gunzip(bytes: Uint8Array, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof DecompressionStream === "undefined") {
    throw new FormatFault("This browser cannot unpack gzip (no DecompressionStream). Use one from 2023 or later.");
  }
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    let read: ReadableStreamReadResult<Uint8Array>;
    try {
      read = await reader.read();
    } catch {
      throw new FormatFault("A picture's data is broken: it does not unpack. Write the page again.");
    }
    if (read.done) break;
    length += read.value.length;
    if (length > limit) {
      await reader.cancel();
      throw new FormatFault(`A picture unpacks to more than ${limit} bytes. Show fewer or shorter examples.`);
    }
    parts.push(read.value);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
