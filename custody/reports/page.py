"""One document as a page of its own: no script, nothing from outside."""

from collections.abc import Sequence
from functools import cache

from jinja2 import Template

from custody.reports.templating import page_environment

Facts = Sequence[tuple[str, str]]
Tables = Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]]


def render_page(title: str, lang: str, facts: Facts, tables: Tables) -> str:
    """Return a page.

    Args:
        title: What it is about.
        lang: ``zh`` or ``en``, in which all of it is written already.
        facts: Names and values.
        tables: A heading, the names of the columns, and rows.
    """
    return _template().render(title=title, lang=lang, facts=facts, tables=tables)


@cache
def _template() -> Template:
    return page_environment().get_template("page.html.j2")
