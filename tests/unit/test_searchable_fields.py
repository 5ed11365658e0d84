"""What may be searched: an index of few values would tell whose is whose by counting (T11)."""

import pytest
from policy_mutations import Mutation, apply, marks, unmarked

from custody.policy.model import FieldType
from custody.policy.parse import parse_policy
from custody.policy.problems import PolicyInvalidError
from custody.policy.template import template_documents
from custody.searching import searches_of

FILE = "catalogue.yaml"
CODE = "policy_illegal_value"
# What of the example's catalogue is not to be searched: a line that the field alone has, by type.
REFUSED = {
    "code with two values": "values: [M, F]",
    "code with twelve values": "aliases: [币种, 货币, Currency code]",
    "date": "earliest: 1900-01-01",
    "instant": "aliases: [采集时间, 收集时间, 录入时间, Collected at, Collection time]",
    "decimal": "minimum: 0.01",
    "integer": "maximum: 1000\n",
    "free text": "aliases: [内容, 咨询内容, 通话记录, Text, Message]",
    "secret free text": "aliases: [健康告知, 健康状况, 病史, Health declaration, Health note]",
}
NOT_OF_NUMBERS = {
    "name": "mask: name",
    "address": "mask: address",
    "e-mail": "mask: email",
    "number of the firm's own": "max_length: 40",
}


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    return template_documents("insurer")


def beside(line: str, searches: str) -> Mutation:
    """Return the change that makes the field with this line searchable."""
    return Mutation(
        what="searchable",
        edits=((FILE, line, f"search: ¦{searches}\n        {line}"),),
        codes=(CODE,),
    )


def problems_of(change: Mutation, example: dict[str, str]) -> list[tuple[str, int, int, str]]:
    changed = unmarked(apply((change,), example))
    try:
        parse_policy(changed)
    except PolicyInvalidError as error:
        return [(one.file, one.line, one.column, one.code) for one in error.problems]
    return []


def expected(change: Mutation, example: dict[str, str]) -> list[tuple[str, int, int, str]]:
    """Return one problem, of the search and where it stands."""
    (mark,) = marks(apply((change,), example))
    return [(*mark, CODE)]


@pytest.mark.parametrize("how", ["[equality]", "[equality, last_four]"])
@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_what_has_few_values_or_too_many_is_not_searched(
    example: dict[str, str], line: str, how: str
) -> None:
    change = beside(line, how)
    found = problems_of(change, example)
    assert set(found) == set(expected(change, example))


@pytest.mark.parametrize("line", NOT_OF_NUMBERS.values(), ids=NOT_OF_NUMBERS)
def test_only_the_last_four_of_numbers_are_searched(example: dict[str, str], line: str) -> None:
    change = beside(line, "[last_four]")
    assert problems_of(change, example) == expected(change, example)
    assert problems_of(beside(line, "[equality]"), example) == []


def test_the_last_four_of_a_bank_card_may_be_searched(example: dict[str, str]) -> None:
    assert problems_of(beside("mask: bank_card", "[equality, last_four]"), example) == []


def test_every_type_but_text_is_among_those_refused(example: dict[str, str]) -> None:
    """So that a new type of field is judged here before it is searched."""
    tried = {name.partition(" ")[0] for name in REFUSED} - {"free", "secret"}
    assert tried == set(FieldType) - {FieldType.TEXT}
    policy = parse_policy(example)
    searched = [field for dataset in policy.datasets.values() for field, _ in searches_of(dataset)]
    assert searched
    assert {(field.type, field.free_text) for field in searched} == {(FieldType.TEXT, False)}


def test_a_refusal_names_the_field_by_its_place_and_says_why(example: dict[str, str]) -> None:
    change = beside(REFUSED["code with two values"], "[equality]")
    with pytest.raises(PolicyInvalidError) as caught:
        parse_policy(unmarked(apply((change,), example)))
    (problem,) = caught.value.problems
    assert problem.message == (
        "only a text of one value is searched; others take too few values, or too many"
    )


def test_both_reasons_against_one_search_are_told(example: dict[str, str]) -> None:
    change = beside(REFUSED["code with two values"], "[last_four]")
    with pytest.raises(PolicyInvalidError) as caught:
        parse_policy(unmarked(apply((change,), example)))
    assert len({problem.message for problem in caught.value.problems}) == 2
