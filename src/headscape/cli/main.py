"""The command ``headscape``."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from headscape import __version__
from headscape.cli.console import fail, open_page, report, say, training_bar
from headscape.errors import HeadscapeError, OptionError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See what a PyTorch transformer's attention does.",
)

# Epochs of a quick look: enough to see that everything works, not to learn much.
_QUICK_EPOCHS = 2
_QUICK_TEXTS = 600
_MISUSE = 2


def main() -> None:
    """Run the command line; errors of headscape end it with one paragraph and exit code 1."""
    try:
        app()
    except HeadscapeError as error:
        fail(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        fail("Stopped; nothing more was written.")
        sys.exit(130)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"headscape {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """See what a PyTorch transformer's attention does."""


@app.command()
def demo(
    tweets: Annotated[
        Path | None,
        typer.Option(help="CSV file of real tweets with the columns airline_sentiment and text."),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the real tweets (once).")] = False,
    digits: Annotated[
        bool, typer.Option("--digits", help="Handwritten digits and a vision transformer instead.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed, another model.", min=0, max=2**31 - 1)] = 0,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page where there is a desktop.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Train briefly, only to see it work.")] = False,
) -> None:
    """Train a small transformer and write its attention as attention.html and attention.png.

    Without --tweets, --download or --digits it learns made-up tweets.
    """
    sources = {"--tweets": tweets is not None, "--download": download, "--digits": digits}
    chosen = [name for name, is_given in sources.items() if is_given]
    if len(chosen) > 1:
        fail(f"{' and '.join(chosen)} exclude each other. Choose one.")
        raise typer.Exit(_MISUSE)
    from dataclasses import replace

    from headscape.demo import corpus, run
    from headscape.demo.baselines import expect_sklearn

    expect_sklearn()
    run.prepare_folder(out)
    if digits:
        from headscape.demo.digits import load_digit_parts

        recipe = replace(run.DIGITS_RECIPE, epochs=_QUICK_EPOCHS) if quick else run.DIGITS_RECIPE
        parts = load_digit_parts()
        say(f"Data: {run.DIGITS_NOTE}.")
        with training_bar("training on digits") as progress:
            found = run.run_digits(parts, out, recipe=recipe, seed=seed, progress=progress)
    else:
        if tweets or download:
            from headscape.demo.tweets import download_tweets, load_tweets

            texts = load_tweets(tweets or download_tweets())
            recipe = run.REAL_RECIPE
        else:
            texts = corpus.made_up_corpus(_QUICK_TEXTS if quick else run.MADE_UP_TEXTS)
            recipe = run.MADE_UP_RECIPE
        recipe = replace(recipe, epochs=_QUICK_EPOCHS) if quick else recipe
        say(f"Data: {texts.note}.")
        with training_bar("training on tweets") as progress:
            found = run.run_tweets(texts, out, recipe=recipe, seed=seed, progress=progress)
    report(found)
    if quick:
        say("This was a quick look: the models are hardly trained and the numbers mean little.")
    if open_ and found.page is not None:
        open_page(found.page, os.environ)


@app.command()
def view(
    file: Annotated[Path, typer.Argument(help="A trace that trace.save() wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("headscape.html"),
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page where there is a desktop.")
    ] = True,
) -> None:
    """Write the page of a saved trace."""
    from headscape.trace.file import load
    from headscape.view.page import write_page

    if out.resolve() == file.resolve():
        raise OptionError(f"{out} is the trace itself; name another file for the page with --out.")
    page = write_page(load(file), out)
    say(f"Page: {page}")
    if open_:
        open_page(page, os.environ)
