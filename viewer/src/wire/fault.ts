/** Data that cannot be shown. The message says what was seen, what was wanted and what to do. */
export class FormatFault extends Error {
  override name = "FormatFault";
}
