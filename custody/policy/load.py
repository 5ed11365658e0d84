"""The policy of a folder."""

from pathlib import Path
from typing import Final

from custody.errors import UsageError
from custody.policy.model import Policy
from custody.policy.parse import parse_policy
from custody.policy.problems import PolicyInvalidError, Problem

_DOCUMENTS: Final = ("*.yaml", "rules/*.yaml", "quality/*.yaml")


def load_policy(folder: Path) -> Policy:
    """Return the policy of ``*.yaml``, ``rules/*.yaml`` and ``quality/*.yaml`` in ``folder``.

    Raises:
        UsageError: There is no such folder, or no document in it.
        PolicyInvalidError: With every problem of every document.
    """
    return parse_policy(read_documents(folder))


def read_documents(folder: Path) -> dict[str, str]:
    """Return the texts of the policy's documents by their name relative to ``folder``.

    Raises:
        UsageError: There is no such folder, or no document in it.
        PolicyInvalidError: A document is not UTF-8.
    """
    paths = sorted(path for pattern in _DOCUMENTS for path in folder.glob(pattern))
    if not paths:
        raise UsageError("no policy documents (*.yaml) in this folder", folder.name)
    documents: dict[str, str] = {}
    undecodable: list[Problem] = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            documents[name] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            undecodable.append(_not_utf8(name, error))
    if undecodable:
        raise PolicyInvalidError(tuple(undecodable))
    return documents


def _not_utf8(file: str, error: UnicodeDecodeError) -> Problem:
    before = error.object[: error.start]
    return Problem(
        file=file,
        line=before.count(b"\n") + 1,
        column=len(before) - (before.rfind(b"\n") + 1) + 1,
        code="policy_syntax",
        message="the document is not UTF-8",
    )
