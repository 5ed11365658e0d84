"""How the commands are gathered: plain groups, and one whose first command need not be named."""

from collections.abc import Callable
from typing import TypeVar

import typer
from typer.core import TyperGroup

_F = TypeVar("_F", bound=Callable[..., object])
EVERYWHERE = (
    "Everywhere: --json (one JSON document on stdout), --quiet, --lang zh|en, --debug. "
    "Exit codes: 0 done, 1 fault, 2 usage, 3 refused, 4 waits for approval, 5 quality gate failed."
)


class Group(typer.Typer):
    """A group of commands."""

    def __init__(self, name: str, summary: str, cls: type[TyperGroup] = TyperGroup) -> None:
        """Make an empty group.

        Args:
            name: What it is called on the command line.
            summary: One sentence for its help.
            cls: How it finds its commands.
        """
        super().__init__(
            name=name,
            help=summary,
            cls=cls,
            no_args_is_help=True,
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["--help", "-h"]},
        )

    def offers(self, name: str) -> Callable[[_F], _F]:
        """Return the decorator that makes a function the command called ``name``."""
        return self.command(name, epilog=EVERYWHERE)


class RunByDefault(TyperGroup):
    """A group in which ``custody ingest FILE …`` means ``custody ingest run FILE …``."""

    default = "run"

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the default command in front unless a command, or help, is asked for."""
        first = args[0] if args else "--help"
        if first not in self.commands and first not in {"--help", "-h"}:
            args = [self.default, *args]
        return super().parse_args(ctx, args)
