"""What each attention head of the tweet encoder is for, and which measure of heads tells the truth about it.

    python examples/explain_tweets.py
    python examples/explain_tweets.py "@jetpine the crew was not rude at all"

Trains the six-layer encoder on made-up tweets (about a minute; kept for the next time), removes each of its
heads in turn and watches the score of the class it names. Writes the figure (PNG and PDF), the text and the
page.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import headscape
from headscape.demo.explained import explain_tweets, save_explanation, train_tweets
from headscape.demo.run import MADE_UP_RECIPE, MADE_UP_TEXTS


def main(arguments: list[str] | None = None) -> headscape.Explanation:
    """Train or load the encoder, explain it, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--out", type=Path, default=Path("explanation"), help="folder for the results")
    parser.add_argument("--tweets", type=int, default=MADE_UP_TEXTS, help="how many tweets to learn from")
    parser.add_argument("--epochs", type=int, default=MADE_UP_RECIPE.epochs, help="how often to read them")
    parser.add_argument("--kept", type=Path, default=None, help="folder for the weights")
    options = parser.parse_args(arguments)

    recipe = replace(MADE_UP_RECIPE, epochs=options.epochs)
    tweets = train_tweets(recipe, options.tweets, folder=options.kept)
    found = explain_tweets(tweets, options.texts)

    for call, head in found.strongest(3):
        (n,) = [k for k, one in enumerate(found.found.heads.removals) if one.parts == ((call, head),)]
        change = float(found.found.heads.change[n].mean())
        print(f"layer {call} head {head}: logit {change:+.2f} without it; {found.found.roles.of(call, head)}")
    for name, rho, spread in found.correlations():
        print(f"{name:<22}{rho:>6.2f} ± {spread:.2f}")
    saved = save_explanation(found, options.out)
    print(f"Figure: {saved.figure}")
    return found


if __name__ == "__main__":
    main()
