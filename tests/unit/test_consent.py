"""A consent is worth what its evidence shows: each thing that may be wrong with it has its code."""

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from custody.consent import (
    FOR_EVER,
    Consent,
    Processing,
    is_given,
    reasons_against,
    recipient_reasons,
    withdrawn_purposes,
)
from custody.policy.model import Notice

COLLECTED = datetime(2026, 3, 1, 10, tzinfo=UTC)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIELDS = frozenset({"customer_no", "name"})
NOTICES = {
    "2026": Notice(
        version="2026",
        published_on=date(2026, 1, 1),
        purposes=frozenset({"service"}),
        fields={"customers": FIELDS},
        methods=("storage",),
        text_sha256="00",
    )
}
SOUND = Consent(
    purpose="service",
    kind="purpose",
    recipient="",
    given_at=COLLECTED - HOUR,
    withdrawn_at=None,
    notice_version="2026",
    notice_shown_at=COLLECTED - 2 * HOUR,
    control_id="box-1",
    control_initial="unchecked",
    text_digest="ab" * 32,
    act="tick",
)
PLAIN = Processing(
    purpose="service",
    dataset="customers",
    fields=FIELDS,
    sensitive=False,
    under_14=False,
    collected_at=COLLECTED,
    at=NOW,
)


def codes(*consents: Consent, processing: Processing = PLAIN) -> set[str]:
    return set(reasons_against(consents, processing, NOTICES))


def test_a_sound_consent_carries_the_purpose() -> None:
    assert codes(SOUND) == set()


def test_no_consent_carries_nothing() -> None:
    assert codes() == {"consent_missing"}
    assert codes(replace(SOUND, purpose="another")) == {"consent_missing"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"act": "silence"}, "consent_not_explicit"),
        ({"act": ""}, "consent_not_explicit"),
        ({"control_initial": "checked"}, "consent_pre_ticked"),
        ({"control_initial": ""}, "consent_evidence_unknown"),
        ({"control_id": ""}, "consent_evidence_unknown"),
        ({"text_digest": ""}, "consent_evidence_unknown"),
        ({"withdrawn_at": NOW - HOUR}, "consent_withdrawn"),
        ({"withdrawn_at": NOW}, "consent_withdrawn"),
        ({"given_at": COLLECTED + HOUR}, "consent_after_collection"),
        ({"notice_shown_at": None}, "notice_not_shown"),
        ({"notice_shown_at": COLLECTED - HOUR / 2}, "notice_after_collection"),
        ({"notice_version": "1999"}, "notice_unknown"),
        ({"notice_version": ""}, "notice_unknown"),
    ],
)
def test_each_defect_of_the_evidence_has_its_own_code(
    changes: dict[str, object], code: str
) -> None:
    assert codes(replace(SOUND, **changes)) == {code}


def test_every_defect_is_told_not_only_the_first() -> None:
    bad = replace(SOUND, act="silence", control_initial="checked", notice_shown_at=None)
    assert codes(bad) == {"consent_not_explicit", "consent_pre_ticked", "notice_not_shown"}


def test_one_act_for_two_purposes_is_bundled() -> None:
    other = replace(SOUND, purpose="marketing")
    assert codes(SOUND, other) == {"consent_bundled"}


@pytest.mark.parametrize("changes", [{"control_id": "box-2"}, {"given_at": COLLECTED - 1.5 * HOUR}])
def test_two_acts_for_two_purposes_are_not_bundled(changes: dict[str, object]) -> None:
    assert codes(SOUND, replace(SOUND, purpose="marketing", **changes)) == set()


def test_a_notice_must_cover_every_field_that_is_there() -> None:
    wider = replace(PLAIN, fields=FIELDS | {"bank_card"})
    assert codes(SOUND, processing=wider) == {"notice_not_covering"}


def test_sensitive_data_need_a_consent_of_their_own() -> None:
    sensitive = replace(PLAIN, sensitive=True)
    assert codes(SOUND, processing=sensitive) == {"separate_consent_missing"}
    assert codes(SOUND, replace(SOUND, kind="sensitive"), processing=sensitive) == set()


def test_a_childs_data_need_the_guardians_consent() -> None:
    child = replace(PLAIN, under_14=True, sensitive=True)
    both = (SOUND, replace(SOUND, kind="sensitive"))
    assert codes(*both, processing=child) == {"guardian_consent_missing"}
    assert codes(*both, replace(SOUND, kind="guardian"), processing=child) == set()


def test_one_sound_consent_is_enough_beside_defective_ones() -> None:
    assert codes(replace(SOUND, act="silence"), SOUND) == set()


def test_if_none_is_sound_the_latest_speaks() -> None:
    older = replace(SOUND, act="silence", given_at=COLLECTED - 2 * HOUR)
    newer = replace(SOUND, control_initial="checked")
    assert "consent_pre_ticked" in codes(older, newer)
    assert "consent_not_explicit" not in codes(older, newer)


def test_a_withdrawal_ends_every_earlier_consent_of_its_kind() -> None:
    earlier = replace(SOUND, given_at=COLLECTED - 1.5 * HOUR)
    withdrawn = replace(SOUND, withdrawn_at=NOW - HOUR)
    assert codes(earlier, withdrawn) == {"consent_withdrawn"}


def test_a_withdrawal_on_another_row_of_the_same_consent_ends_its_use() -> None:
    again = replace(SOUND, withdrawn_at=NOW - HOUR)
    assert SOUND.in_force(NOW)
    assert is_given([SOUND], "service", "purpose", NOW)
    assert not is_given([SOUND, again], "service", "purpose", NOW)
    assert is_given([SOUND, again, replace(SOUND, given_at=NOW)], "service", "purpose", NOW)
    assert not is_given([SOUND], "service", "sensitive", NOW)


def test_a_withdrawal_that_lies_ahead_ends_nothing_yet() -> None:
    assert codes(replace(SOUND, withdrawn_at=NOW + HOUR)) == set()


def test_withdrawing_from_a_recipient_leaves_the_purpose() -> None:
    gone = replace(SOUND, kind="recipient", recipient="partner", withdrawn_at=NOW - HOUR)
    assert codes(SOUND, gone) == set()


def test_a_recipient_needs_a_consent_that_names_it() -> None:
    named = replace(SOUND, kind="recipient", recipient="partner")
    assert recipient_reasons([named], "partner", PLAIN, NOTICES) == ()
    assert recipient_reasons([named], "other", PLAIN, NOTICES) == ("recipient_consent_missing",)
    assert recipient_reasons([SOUND], "partner", PLAIN, NOTICES) == ("recipient_consent_missing",)


GUARDIANS = replace(SOUND, kind="guardian", withdrawn_at=NOW - HOUR)


@pytest.mark.parametrize(
    ("consents", "expected"),
    [
        ([SOUND], {}),
        ([replace(SOUND, withdrawn_at=NOW - HOUR)], {"service": FOR_EVER}),
        ([replace(SOUND, withdrawn_at=NOW + HOUR)], {}),
        ([replace(SOUND, withdrawn_at=NOW - HOUR), replace(SOUND, given_at=NOW)], {}),
        ([replace(SOUND, kind="sensitive", withdrawn_at=NOW - HOUR)], {}),
        ([SOUND, GUARDIANS], {"service": FOR_EVER}),
        ([SOUND, GUARDIANS, replace(GUARDIANS, given_at=NOW, withdrawn_at=None)], {}),
        ([SOUND, GUARDIANS, replace(SOUND, given_at=NOW)], {"service": NOW}),
        (
            [GUARDIANS, replace(SOUND, given_at=NOW - HOUR / 2, withdrawn_at=NOW)],
            {"service": FOR_EVER},
        ),
    ],
)
def test_a_purpose_is_withdrawn_until_it_is_consented_to_again(
    consents: list[Consent], expected: dict[str, datetime]
) -> None:
    assert withdrawn_purposes(consents, NOW) == expected
