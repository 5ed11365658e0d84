"""From documents to a policy, or to everything that is wrong with them.

Nothing is read from disk here, and nothing stops at the first mistake: whoever writes a policy
wants to correct it once.
"""

from collections.abc import Mapping
from itertools import chain

from custody.policy.build import build_policy
from custody.policy.check_catalogue import check_catalogue
from custody.policy.check_outside import check_recipients, check_sources
from custody.policy.check_purposes import check_purposes
from custody.policy.check_quality import check_quality
from custody.policy.check_rules import check_rules, check_secrets, check_settings
from custody.policy.drafts import read_drafts
from custody.policy.model import Policy
from custody.policy.problems import PolicyInvalidError, Problem
from custody.policy.tree import Tree, read_tree

_CHECKS = (
    check_catalogue,
    check_purposes,
    check_sources,
    check_recipients,
    check_rules,
    check_settings,
    check_quality,
)


def parse_policy(documents: Mapping[str, str]) -> Policy:
    """Return the policy that the documents, by file name, state together.

    Raises:
        PolicyInvalidError: With every problem of every document.
    """
    trees: list[Tree] = []
    problems: list[Problem] = []
    for file, text in sorted(documents.items()):
        tree, syntax = read_tree(file, text)
        trees.append(tree)
        problems += syntax
    drafts = read_drafts(trees)
    problems += drafts.problems
    problems += check_secrets(trees)
    if not any(problem.code == "policy_syntax" for problem in problems):
        # What an unreadable document says is unknown, so nobody is blamed for referring to it.
        problems += [*drafts.missing(), *chain.from_iterable(check(drafts) for check in _CHECKS)]
    if problems:
        raise PolicyInvalidError(tuple(sorted(set(problems))))
    return build_policy(drafts, documents)
