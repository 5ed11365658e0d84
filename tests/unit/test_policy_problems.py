"""A broken policy is refused with every problem, each at its line and column."""

import pickle
import random
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pytest
from policy_mutations import (
    CATALOGUE,
    DOCUMENT,
    OUTSIDE,
    PURPOSES,
    QUALITY,
    SPREAD,
    Mutation,
    apply,
    marks,
    unmarked,
)

from custody.codes import CODES
from custody.errors import EXIT_USAGE, UsageError
from custody.policy.load import load_policy
from custody.policy.parse import parse_policy
from custody.policy.problems import PolicyInvalidError, Problem
from custody.policy.template import template_documents

EVERY = CATALOGUE + PURPOSES + OUTSIDE + QUALITY + SPREAD + DOCUMENT
ROLE = "{title: {zh: 审, en: A}, may: [], up_to: general}"


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    return template_documents("insurer")


def problems_of(documents: Mapping[str, str]) -> tuple[Problem, ...]:
    with pytest.raises(PolicyInvalidError) as caught:
        parse_policy(documents)
    return caught.value.problems


def places(problems: tuple[Problem, ...]) -> set[tuple[str, int, int, str]]:
    return {(one.file, one.line, one.column, one.code) for one in problems}


@pytest.mark.parametrize("mutation", EVERY, ids=lambda mutation: mutation.what)
def test_a_broken_place_is_reported_there_and_nothing_else_is(
    mutation: Mutation, example: dict[str, str]
) -> None:
    broken = apply((mutation,), example)
    expected = {(*mark, code) for mark, code in zip(marks(broken), mutation.codes, strict=True)}
    assert places(problems_of(unmarked(broken))) == expected


def test_the_mutations_are_many_and_different() -> None:
    assert len({mutation.what for mutation in EVERY}) == len(EVERY) >= 90
    assert {code for mutation in EVERY for code in mutation.codes} <= set(CODES)


def test_every_code_of_a_policy_problem_is_provoked_by_some_mutation() -> None:
    ours = {code for code in CODES if code.startswith("policy_")}
    ours -= {"policy_invalid", "policy_approval_not_captured"}
    assert ours <= {code for mutation in EVERY for code in mutation.codes}


def test_problems_of_several_documents_are_reported_at_once_and_in_order(
    example: dict[str, str],
) -> None:
    wanted = (
        "unknown key", "number reused", "no legal basis", "unknown kind", "password in a URL",
        "unknown action", "log kept two years", "summary that blocks", "country in words",
    )  # fmt: skip
    chosen = tuple(mutation for mutation in EVERY if mutation.what in wanted)
    broken = apply(chosen, example)
    found = problems_of(unmarked(broken))
    assert len(chosen) == len(wanted) == len(found)
    assert [(one.file, one.line, one.column) for one in found] == marks(broken)
    assert {one.code for one in found} == {code for one in chosen for code in one.codes}


def test_positions_are_counted_from_one_in_characters() -> None:
    problem = next(
        one
        for one in problems_of({"a.yaml": "roles:\n  审: x\n  b: {title: {zh: 审, e: A}}\n"})
        if one.code == "policy_unknown_key"
    )
    assert (problem.file, problem.line, problem.column) == ("a.yaml", 3, 22)
    assert str(problem) == "a.yaml:3:22: policy_unknown_key: no key is called e here"


def test_the_error_lists_every_problem_and_survives_pickling(example: dict[str, str]) -> None:
    broken = {
        **example,
        "settings.yaml": example["settings.yaml"].replace("session_minutes", "s_m"),
    }
    with pytest.raises(PolicyInvalidError) as caught:
        parse_policy(broken)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert again.problems == caught.value.problems
    assert str(again) == "\n".join(map(str, caught.value.problems))
    assert (again.code, again.exit_code) == ("policy_invalid", EXIT_USAGE)


@pytest.mark.parametrize("what", [one.what for one in OUTSIDE if "policy_secret" in one.codes])
def test_a_secret_is_not_repeated_in_the_error(what: str, example: dict[str, str]) -> None:
    mutation = next(one for one in OUTSIDE if one.what == what)
    with pytest.raises(PolicyInvalidError) as caught:
        parse_policy(unmarked(apply((mutation,), example)))
    assert "hunter2" not in str(caught.value).lower()
    assert "hunter2" not in repr(caught.value).lower()


def test_an_environment_reference_is_no_secret(example: dict[str, str]) -> None:
    for location in (
        "postgresql://reader:${LEGACY_PASSWORD}@db.example/legacy",
        "postgresql://reader@db.example/legacy",
        "host=db password=${LEGACY_PASSWORD}",
    ):
        old = "location: ${CUSTODY_CHINOOK_URL}"
        sources = example["sources.yaml"].replace(old, f"location: {location}")
        assert parse_policy({**example, "sources.yaml": sources})


def test_a_rule_from_a_summary_blocks_once_the_policy_says_so(example: dict[str, str]) -> None:
    standards = example["rules/standards.yaml"].replace(
        "mode: warn", "mode: block\n    switched_on_by_policy: true", 1
    )
    rule = parse_policy({**example, "rules/standards.yaml": standards}).rule("S1")
    assert (rule.evidence, rule.mode, rule.switched_on) == ("L", "block", True)


@pytest.mark.parametrize(
    ("file", "section"),
    [("catalogue.yaml", "datasets"), ("roles.yaml", "roles"), ("purposes.yaml", "purposes")],
)
def test_a_policy_without_a_necessary_section_is_refused(
    file: str, section: str, example: dict[str, str]
) -> None:
    without = {name: text for name, text in example.items() if name != file}
    missing = [one for one in problems_of(without) if one.code == "policy_missing_key"]
    assert (missing[0].file, missing[0].message) == (file, f"the policy has no section {section}")


def test_no_documents_are_no_policy() -> None:
    assert {one.code for one in problems_of({})} == {"policy_missing_key"}


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "roles: [a]\n", "roles: 7\n"])
def test_a_document_of_another_shape_is_refused(text: str, example: dict[str, str]) -> None:
    found = problems_of({**example, "extra.yaml": text})
    assert [one.code for one in found] == ["policy_wrong_type"]
    assert found[0].file == "extra.yaml"


@pytest.mark.parametrize(
    "text",
    ["a: 1\n---\nb: 2\n", "? [a]\n: b\n", "a: &x [*x]\n", "[" * 300, "a: \x01\n", "a:\n\t- b\n"],
)
def test_hostile_yaml_is_a_problem_and_not_a_crash(text: str, example: dict[str, str]) -> None:
    found = problems_of({**example, "extra.yaml": text})
    assert "policy_syntax" in {one.code for one in found if one.file == "extra.yaml"}


def test_an_unreadable_document_blames_nobody_who_refers_to_it(example: dict[str, str]) -> None:
    found = problems_of({**example, "catalogue.yaml": "datasets: {\n"})
    assert [one.code for one in found] == ["policy_syntax"]


def test_a_broken_field_blames_nobody_who_refers_to_it(example: dict[str, str]) -> None:
    catalogue = example["catalogue.yaml"].replace("type: instant", "type: moment")
    found = problems_of({**example, "catalogue.yaml": catalogue})
    assert {one.code for one in found} == {"policy_illegal_value"}


def is_refused(documents: Mapping[str, str]) -> bool:
    try:
        parse_policy(documents)
    except PolicyInvalidError as error:
        return bool(error.problems)
    return False


def test_damaged_documents_never_escape_as_another_error(example: dict[str, str]) -> None:
    draw = random.Random(20260101)
    refused = 0
    for _ in range(80):
        file = draw.choice(sorted(example))
        lines = example[file].splitlines(keepends=True)
        place = draw.randrange(len(lines))
        lines[place] = draw.choice(["", "x: [\n", "  - 1\n", lines[place].replace(":", "", 1)])
        refused += is_refused({**example, file: "".join(lines)})
    assert refused > 40


def test_a_folder_without_documents_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_policy(tmp_path)


def test_a_document_that_is_not_utf8_is_reported_at_the_byte(tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_bytes("roles:\n  审: ".encode() + b"\xc9\xf3\n")
    with pytest.raises(PolicyInvalidError) as caught:
        load_policy(tmp_path)
    place = (caught.value.problems[0].file, caught.value.problems[0].line)
    assert place == ("roles.yaml", 2)


def test_the_example_lies_in_the_package_config() -> None:
    assert (files("config") / "policy" / "catalogue.yaml").is_file()
