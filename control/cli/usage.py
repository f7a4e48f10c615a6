"""What a person that typed a command wrongly is told: what is wrong, and what would be right."""

from __future__ import annotations

import re
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from control.cli.client import errors, printable
from control.cli.examples import example_for

# typer has moved click's classes between versions; the base of what it exports is click's.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
# People's words for types, where typer uses programmers'.
_PLAIN = (
    (re.compile(r"is not a valid int\w*( range)?\.?"), "is not a whole number"),
    (re.compile(r"is not a valid float( range)?\.?"), "is not a number"),
)
# Words that other tools use, and the command that was probably meant.
_HINTS = (
    (
        re.compile(r"unexpected extra argument\S* \([^\s=]+="),
        "an option takes one value: repeat it for each",
    ),
    (re.compile(r"No such option: (?:-n|--name)\b"), "the app's name is an argument without one"),
    (re.compile(r"'--to': .*whole number"), "the numbers are those of: turnout journal APP"),
)
_WITHOUT_ARGUMENTS = "NoArgsIsHelpError"  # prints the help; not a mistake


class Commands(TyperGroup):
    """The root of all commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exits with code 2 and an example when the words are no valid command."""
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            if type(error).__name__ == _WITHOUT_ARGUMENTS:
                raise
            _tell(error)
            raise typer.Exit(2) from None


def _tell(error: Any) -> None:
    path = error.ctx.command_path if error.ctx is not None else ""
    path = f"turnout {path.partition(' ')[2]}".strip()  # with the usual name, however it was called
    message = error.format_message()
    for pattern, words in _PLAIN:
        message = pattern.sub(words, message)
    for pattern, hint in _HINTS:
        if found := pattern.search(message):
            message += f"; {found.expand(hint)}"
            break
    lines = [("error:", "bold red", message)]
    if example := example_for(path):
        lines.append(("example:", "bold", example))
    lines.append(("help:", "bold", f"{path} -h"))
    for word, style, text in lines:
        errors.print(Text.assemble((word, style), " ", printable(text)), soft_wrap=True)
