/** Two sentences in one input: where the second begins. */

// Tokens that models put between, before and behind sentences.
const SEPARATORS = new Set(["[SEP]", "</s>", "<|endoftext|>", "<sep>", "<SEP>", "<|eot_id|>", "<|im_end|>", "<eos>", "<|end_of_text|>"]);

export type Filter = "all" | "aa" | "ab" | "ba" | "bb";
export const FILTERS: Record<Filter, string> = { all: "all", aa: "A → A", ab: "A → B", ba: "B → A", bb: "B → B" };

/** First token of the second sentence, behind the first separator that stands between words; -1 if there is one sentence. */
export function secondSentence(tokens: readonly string[], padded: ArrayLike<number>): number {
  const isWord = (n: number) => !padded[n] && !SEPARATORS.has(tokens[n]!.trim());
  const first = tokens.findIndex((_, n) => isWord(n));
  if (first < 0) return -1;
  const at = tokens.findIndex((_, n) => n > first && !padded[n] && !isWord(n));
  return at >= 0 && tokens.some((_, n) => n > at && isWord(n)) ? at + 1 : -1;
}

/** Whether a filter lets an edge through; `second` is where the second sentence begins. */
export function passes(filter: Filter, second: number, query: number, key: number): boolean {
  if (filter === "all" || second < 0) return true;
  return (query >= second) === (filter[0] === "b") && (key >= second) === (filter[1] === "b");
}
