"""What ``headscape explain`` prints."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from headscape.cli.console import open_console, say, say_place

if TYPE_CHECKING:
    from headscape.demo.explained import Saved
    from headscape.explanation.explanation import Explanation


def report_explanation(page: "Explanation", saved: "Saved", seconds: float) -> None:
    """Print roles, the strongest heads, the flow of the first text, the measures, and where the files lie."""
    from headscape.explanation.content import unit_of
    from headscape.explanation.words import (
        LIMITS,
        head_rows,
        judged_rows,
        role_lines,
        texts_of,
        token_lines,
        topology_lines,
    )

    console = open_console()
    say(f"{page.name}, on {texts_of(page)}. Score: {page.target}.")
    say("\nRoles of heads")
    for line in role_lines(page):
        say(line)
    unit = unit_of(page)
    heads = Table("head", title=f"\nHeads whose removal moves the {unit} most", title_justify="left")
    for column in ("size of the change", "mean change", "adds directly"):
        heads.add_column(column, justify="right")
    heads.add_column("role")
    for row in head_rows(page):
        heads.add_row(*map(Text, row))
    console.print(heads)
    say("\nFlow to the answer, by token")
    for line in token_lines(page):
        say(line)
    judged = Table("measure of heads", title="\nMeasures held against the knock-outs", title_justify="left")
    judged.add_column("Spearman", justify="right")
    judged.add_column("over texts")
    for measure in judged_rows(page):
        judged.add_row(*map(Text, measure))
    console.print(judged)
    say("\nTopology")
    for line in topology_lines(page):
        say(line)
    say("\nWhat is not known")
    for line in (*page.missing, *LIMITS):
        say(line)
    say("")
    say_place("Figure:", saved.figure)
    say_place("Print: ", saved.print)
    say_place("Text:  ", saved.text)
    if saved.page is None:
        say(f"Page:   none. {saved.page_problem}")
    else:
        say_place("Page:  ", saved.page)
    say(f"Done in {seconds:.0f} s.")
