"""Writing what a command shows as a page of its own, which needs nothing from outside."""

from collections.abc import Mapping
from pathlib import Path

from custody.cli.manner import manner
from custody.cli.output import laid_out
from custody.errors import UsageError


def write_page(path: Path, title: str, document: Mapping[str, object]) -> None:
    """Write a document as a page, with the names people know its keys by.

    Raises:
        UsageError: There is such a file already.
    """
    from custody.reports.page import render_page

    page = render_page(title, manner().lang, *laid_out(document))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(page)
    except FileExistsError:
        raise UsageError("there is such a file already", path.name) from None
