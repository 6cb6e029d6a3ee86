"""The command ``headscape``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from headscape import __version__
from headscape.cli.console import fail, open_address, open_page, report, report_real, say, training_bar
from headscape.errors import HeadscapeError, OptionError, expect_option

if TYPE_CHECKING:
    from headscape.demo.run import DemoResult
    from headscape.explanation.explanation import Explanation

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
    texts: Annotated[
        list[str] | None, typer.Argument(help="With --model: texts for the model to read.", metavar="TEXT...")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A real model instead, without training: minilm or stories.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="With --model stories: folder or file of its weights.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="With --model stories: tokens it adds to a text (8).", min=0)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="With --model stories: draw among the likeliest tokens that hold this share."),
    ] = None,
    tweets: Annotated[
        Path | None,
        typer.Option(help="CSV file of real tweets with the columns airline_sentiment and text."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the real tweets, or the weights of stories (once).")
    ] = False,
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

    Without --tweets, --download or --digits it learns made-up tweets. With --model nothing is trained: a real
    model reads the texts.
    """
    if model is not None:
        alone = {"--tweets": tweets is not None, "--digits": digits, "--quick": quick}
        _refuse("--model", [name for name, is_given in alone.items() if is_given])
        from headscape.demo import real

        telling = real.Telling.given(tokens, top_p, seed)
        read = real.run_real(model, texts or [], out, weights=weights, download=download, telling=telling)
        report_real(read)
        _open(read.written.page, open_)
        return
    only = {"TEXT": texts, "--weights": weights, "--tokens": tokens, "--top-p": top_p}
    for name in (name for name, value in only.items() if value not in (None, [])):
        _misuse(f"{name} goes with --model. Choose a model, as in: headscape demo --model minilm TEXT")
    sources = {"--tweets": tweets is not None, "--download": download, "--digits": digits}
    first, *others = [name for name, is_given in sources.items() if is_given] or [""]
    _refuse(first, others)
    found = _train_demo(tweets, download=download, digits=digits, out=out, seed=seed, quick=quick)
    report(found)
    if quick:
        say("This was a quick look: the models are hardly trained and the numbers mean little.")
    _open(found.written.page, open_)


@app.command()
def explain(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts for the model to read.", metavar="TEXT...")
    ] = None,
    model: Annotated[str, typer.Option(help="minilm, tweets or stories.")] = "minilm",
    weights: Annotated[
        Path | None, typer.Option(help="With --model stories: folder or file of its weights.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="With --model stories: fetch its weights (once).")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("explanation"),
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    draw: Annotated[int, typer.Option(help="Which of the texts is drawn, from 1.", min=1)] = 1,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page where there is a desktop.")
    ] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --model tweets: train briefly, only to see it work.")
    ] = False,
) -> None:
    """Say what each attention head of a model is for, and write explanation.png, .pdf, .html and .txt.

    Each head is removed in turn and the model's answer is watched. The encoder of tweets is trained first
    (about a minute) and kept. For a model of your own use Python: headscape.explain(model, inputs).figure()
    """
    import time

    from headscape.cli.explained import report_explanation

    start = time.perf_counter()
    if model != "stories" and (weights is not None or download):
        _misuse("--weights and --download go with --model stories.")
    if model != "tweets" and quick:
        _misuse("--quick goes with --model tweets; the other models are not trained.")
    from headscape.demo.explained import save_explanation
    from headscape.demo.results import prepare_folder
    from headscape.draw.theme import choose_theme

    choose_theme(theme)
    prepare_folder(out)
    found = _explain(model, texts or [], weights, download=download, quick=quick, example=draw - 1)
    saved = save_explanation(found, out, theme=theme)
    report_explanation(found, saved, time.perf_counter() - start)
    if quick:
        say("This was a quick look: the model is hardly trained and the numbers mean little.")
    _open(saved.page, open_)


def _explain(
    model: str, texts: list[str], weights: Path | None, *, download: bool, quick: bool, example: int
) -> "Explanation":
    from dataclasses import replace

    from headscape.demo import explained
    from headscape.demo.run import MADE_UP_RECIPE, MADE_UP_TEXTS

    expect_option("headscape explain", "model", model, explained.MODELS)
    explained.check_texts(texts)
    with training_bar("explaining") as progress:
        if model == "minilm":
            return explained.explain_minilm(texts, example=example, progress=progress)
        if model == "stories":
            return explained.explain_stories(
                texts, weights=weights, download=download, example=example, progress=progress
            )
    recipe = replace(MADE_UP_RECIPE, epochs=_QUICK_EPOCHS) if quick else MADE_UP_RECIPE
    count = _QUICK_TEXTS if quick else MADE_UP_TEXTS
    with training_bar("training on tweets") as training:
        trained = explained.train_tweets(recipe, count, progress=training)
    with training_bar("explaining") as progress:
        return explained.explain_tweets(trained, texts, example=example, progress=progress)


def _misuse(message: str) -> NoReturn:
    fail(message)
    raise typer.Exit(_MISUSE)


def _refuse(chosen: str, others: list[str]) -> None:
    if others:
        _misuse(f"{' and '.join([chosen, *others])} exclude each other. Choose one.")


def _open(page: Path | None, wanted: bool) -> None:
    if wanted and page is not None:
        open_page(page, os.environ)


def _train_demo(
    tweets: Path | None, *, download: bool, digits: bool, out: Path, seed: int, quick: bool
) -> "DemoResult":
    from dataclasses import replace

    from headscape.demo import corpus, run
    from headscape.demo.baselines import expect_sklearn
    from headscape.demo.results import prepare_folder

    expect_sklearn()
    prepare_folder(out)
    if digits:
        from headscape.demo.digits import load_digit_parts

        recipe = replace(run.DIGITS_RECIPE, epochs=_QUICK_EPOCHS) if quick else run.DIGITS_RECIPE
        parts = load_digit_parts()
        say(f"Data: {run.DIGITS_NOTE}.")
        with training_bar("training on digits") as progress:
            return run.run_digits(parts, out, recipe=recipe, seed=seed, progress=progress)
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
        return run.run_tweets(texts, out, recipe=recipe, seed=seed, progress=progress)


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
    _open(page, open_)


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(help="A trace that trace.save() wrote, or a folder of them.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="First port to try.", min=0, max=65535)] = 8770,
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow a --host that other machines can reach.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name by which other machines call this one.")
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page where there is a desktop.")
    ] = True,
) -> None:
    """Show saved traces in a local page, layer by layer: for files too large for `headscape view`."""
    from headscape.view.serve import serve as serve_traces

    def announce(address: str) -> None:
        if expose:
            say("Warning: other machines can reach this server; whoever has the address can read the traces.")
        say(f"Open {address}")
        say("Stop with Ctrl-C.")
        if open_:
            open_address(address, os.environ)

    serve_traces(
        path,
        host=host,
        port=port,
        is_exposed=expose,
        allowed_hosts=allowed_host or (),
        announce=announce,
    )
