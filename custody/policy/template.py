"""Starting policies for a firm's own datasets, written into a folder of its own.

The insurer's is the example policy itself, of which there is only one copy; it lies in the package
``config`` and is reached by name, because the core imports nothing from there. Every firm starts
with the same rules of law.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from custody.errors import UsageError

TEMPLATES: Final = ("insurer", "retail")
_ONLY_INSURERS: Final = frozenset({"insurance.yaml"})


def write_template(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a commented starting policy and return the files, refusing to overwrite anything.

    Raises:
        UsageError: There is no such template, or a document stands in the folder already.
    """
    documents = template_documents(name)
    there = [document for document in documents if (folder / document).exists()]
    if there:
        raise UsageError("a policy document stands here already", ", ".join(there))
    written: list[Path] = []
    for document, text in documents.items():
        path = folder / document
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return tuple(written)


def template_documents(name: str) -> dict[str, str]:
    """Return a template's documents by file name.

    Raises:
        UsageError: There is no such template.
    """
    example = files("config") / "policy"
    rules = _texts(example, "rules/")
    if name == "insurer":
        return _texts(example) | rules | _texts(example, "quality/")
    if name not in TEMPLATES:
        raise UsageError(f"no such template; known are {', '.join(TEMPLATES)}", name)
    for insurers_only in _ONLY_INSURERS:
        rules.pop(f"rules/{insurers_only}", None)
    own = files("custody.policy") / "templates" / name
    return _texts(own) | rules | _texts(own, "quality/")


def _texts(folder: Traversable, below: str = "") -> dict[str, str]:
    within = folder / below if below else folder
    return {
        below + file.name: file.read_text(encoding="utf-8")
        for file in sorted(within.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }
