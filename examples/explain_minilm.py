"""What each attention head of all-MiniLM-L6-v2 is for: every head removed in turn, on a few sentences.

    pip install "headscape[minilm,flow,topology]"
    python examples/explain_minilm.py

The model turns a text into a vector, so there is no class whose score could be watched. Watched is how far
the vector keeps pointing where it pointed: its product with what it was, untouched. Writes the figure (PNG
and PDF), the text and the interactive page.
"""

import argparse
from pathlib import Path

import headscape
from headscape.demo.explained import save_explanation
from headscape.demo.minilm import join_texts, load_minilm

TEXTS = (
    "The cat sat on the mat because it was embarrassingly tired.",
    "Shares of the airline fell after it cancelled its flights.",
)


def main(arguments: list[str] | None = None) -> headscape.Explanation:
    """Explain the model and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", default=TEXTS, metavar="TEXT")
    parser.add_argument("--out", type=Path, default=Path("explanation"), help="folder for the results")
    options = parser.parse_args(arguments)

    mini = load_minilm()
    read = [mini.labels(text) for text in options.texts]
    ids, mask = join_texts([pieces for pieces, _, _ in read])
    found = headscape.explain(
        mini.model,
        {"input_ids": ids, "attention_mask": mask},
        tokens=[labels for _, labels, _ in read],
        texts=options.texts,
        name="all-MiniLM-L6-v2",
    )
    print(found.text())
    saved = save_explanation(found, options.out)
    print(f"Figure: {saved.figure}")
    return found


if __name__ == "__main__":
    main()
