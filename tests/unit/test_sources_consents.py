"""Consents as a source: fixed fields, subjects by any reference of the catalogue."""

from pathlib import Path

import pytest
from small_catalogue import SHANGHAI
from source_values import rows_of, source, write

from custody.normalise import normalise_rows
from custody.policy.load import load_policy
from custody.policy.model import CONSENT_FIELDS, CONSENTS, Policy
from custody.sources import SourceError, open_source
from custody.sources.consents import consents_dataset

POLICY = Path(__file__).parents[2] / "config" / "policy"
HEADER = "客户号,身份证号,目的,同意类型,接收方,同意时间,控件初始状态,签署文本摘要,动作"


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Return the example policy."""
    return load_policy(POLICY)


def test_the_fields_are_those_a_policy_may_map_columns_to(policy: Policy) -> None:
    assert consents_dataset(policy).field_names >= CONSENT_FIELDS


def test_every_reference_of_the_catalogue_can_name_the_subject(policy: Policy) -> None:
    dataset = consents_dataset(policy)
    named = {one.name for other in policy.datasets.values() for one in other.references}
    assert {one.name for one in dataset.references} == named
    assert all(dataset.field(one.field) for one in dataset.references)
    assert len({one.number for one in dataset.fields}) == len(dataset.fields)


def test_a_consent_is_read_with_chinese_words(policy: Policy, tmp_path: Path) -> None:
    text = f"{HEADER}\nC1,,service,敏感,,2024-01-02 10:00:00,未勾选,ab12,勾选\n"
    dataset = consents_dataset(policy)
    (row,) = rows_of(
        open_source(
            source(dataset=CONSENTS, purpose=None),
            location=str(write(tmp_path, text)),
            dataset=dataset,
            chunk_rows=10,
            environment={},
        )
    )
    (found,) = normalise_rows(dataset, [row], SHANGHAI)
    assert found.problems == {}
    assert found.values["customer_no"] == "C1"
    assert found.values["kind"] == "sensitive"
    assert found.values["control_initial"] == "unchecked"
    assert found.values["act"] == "tick"


def test_without_its_time_and_purpose_a_consent_source_is_refused(
    policy: Policy, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="no column for given_at, kind, purpose"):
        open_source(
            source(dataset=CONSENTS, purpose=None),
            location=str(write(tmp_path, "客户号\nC1\n")),
            dataset=consents_dataset(policy),
            chunk_rows=10,
            environment={},
        )
