"""What is wrong with a policy: every problem, each with its place in the documents."""

from dataclasses import dataclass
from typing import ClassVar

from custody.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Problem:
    """One thing wrong with one place of one document.

    Attributes:
        file: The document's name, relative to the policy's folder.
        line: Counted from 1.
        column: Counted from 1, in characters.
        code: A code of :mod:`custody.codes`.
        message: What is wrong, in English, with names but never with a secret.
    """

    file: str
    line: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        """Return the problem in the form editors and terminals turn into a link."""
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {self.message}"


class PolicyInvalidError(UsageError):
    """The policy's documents cannot be taken; all problems are listed."""

    code: ClassVar[str] = "policy_invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super(UsageError, self).__init__(problems)
        self.problems = problems
        self.what, self.about = "policy invalid", f"{len(problems)} problems"

    def __str__(self) -> str:
        """Return every problem, one on a line."""
        return "\n".join(map(str, self.problems))
