"""Where the pages' templates are, and how strictly they are filled."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment() -> Environment:
    """Return what loads the templates: it escapes all, and whatever is missing is an error."""
    return Environment(
        loader=PackageLoader("custody.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
