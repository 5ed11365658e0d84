"""Sessions: a day's key speaks for a person while the session runs, and for what was asked."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from own_databases import Databases
from people_house import CHEAP, SHELL, START, WORDS, House, build_house, close_house, person

from custody.acts.request_views import (
    list_requests,
    mark_announced,
    request_state,
    show_draft,
    show_request,
    unannounced,
)
from custody.acts.requests import edit_request, file_request, sign_draft
from custody.acts.session import login, logout
from custody.acts.transfer import decide_transfer
from custody.acts.use import decide_use
from custody.acts.vote import cast_vote, vote_token
from custody.approval import Ask
from custody.errors import RefusedError, UsageError
from custody.keys.person import create_person_key
from custody.keys.session import read_session
from custody.policy.model import UnknownNameError


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path)
    built.store([person(1), person(2)])
    yield built
    close_house(built)


def codes(act: Callable[[], object]) -> set[str]:
    with pytest.raises(RefusedError) as error:
        act()
    return {reason.code for reason in error.value.reasons}


def test_a_session_ends_by_itself(house: House) -> None:
    minutes = house.custody.policy.settings.session_minutes
    house.clock.advance(minutes=minutes - 1)
    house.file(house.ask_use())
    house.clock.advance(minutes=1)
    assert codes(lambda: house.file(house.ask_use())) == {"session_expired"}


def test_logging_out_ends_it_and_removes_the_file(house: House) -> None:
    path = house.folder / "wang.session"
    house.members["wang"].session = login(house.custody, SHELL, house.members["wang"].key, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_session(path).session_id == house.members["wang"].session.session_id
    logout(house.custody, SHELL, path)
    assert codes(lambda: house.file(house.ask_use())) == {"session_expired"}
    with pytest.raises(UsageError, match="log in"):
        read_session(path)


def test_every_reason_is_given_not_the_first(house: House) -> None:
    digest = house.ask_digest(house.ask_use())
    token = house.sign("file_use", digest)
    house.clock.advance(days=30)
    other = house.ask_use(dataset="transactions", fields={})
    assert codes(lambda: file_request(house.custody, SHELL, other, token)) == {
        "session_expired",
        "statement_expired",
        "digest_mismatch",
    }


def test_a_signature_files_one_request_once(house: House) -> None:
    ask = house.ask_use()
    token = house.sign("file_use", house.ask_digest(ask))
    file_request(house.custody, SHELL, ask, token)
    assert codes(lambda: file_request(house.custody, SHELL, ask, token)) == {"statement_invalid"}


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "profiling"},
        {"fields": {"name": "clear"}},
        {"fields": {"customer_no": "clear", "name": "clear", "resident_id": "masked"}},
        {"until": START.replace(year=2030)},
        {"customers": ()},
    ],
)
def test_a_signature_on_one_ask_is_none_on_another(house: House, change: dict[str, object]) -> None:
    ask = house.ask_use()
    token = house.sign("file_use", house.ask_digest(ask))
    changed = replace(ask, **change)
    assert codes(lambda: file_request(house.custody, SHELL, changed, token)) == {"digest_mismatch"}


def test_a_signature_for_reading_files_nothing(house: House) -> None:
    ask = house.ask_use()
    token = house.sign("read", house.ask_digest(ask))
    assert codes(lambda: file_request(house.custody, SHELL, ask, token)) == {"digest_mismatch"}


def test_a_long_term_key_does_not_sign_requests(house: House) -> None:
    wang = house.members["wang"]
    session = replace(wang.session, private=wang.key.private)
    house.members["wang"].session = session
    assert codes(lambda: house.file(house.ask_use())) == {"signature_invalid"}


def test_one_persons_session_does_not_speak_for_another(house: House) -> None:
    wang, zhou = house.members["wang"], house.members["zhou"]
    wang.session = replace(wang.session, staff_id=zhou.id)
    assert codes(lambda: house.file(house.ask_use())) == {"signature_invalid"}


def test_a_key_enrolled_elsewhere_opens_no_session(house: House, tmp_path: Path) -> None:
    key = create_person_key(tmp_path / "stranger", WORDS, CHEAP)
    assert codes(lambda: login(house.custody, SHELL, key, tmp_path / "s")) == {
        "enrolment_needs_officer"
    }
    assert not (tmp_path / "s").exists()


def test_a_draft_is_nobodys_until_somebody_signs_it(house: House) -> None:
    ask = house.ask_transfer()
    request_id = file_request(house.custody, SHELL, ask, None)
    assert request_state(house.custody, request_id) == ("transfer", "draft")
    assert show_draft(house.custody, request_id)["recipient"] == "rescue_partner"
    assert codes(lambda: decide_transfer(house.custody, SHELL, request_id)) == {"request_not_open"}
    assert codes(lambda: show_request(house.custody, request_id)) == {"request_not_open"}
    assert not unannounced(house.custody)
    plain = house.sign("file_transfer", house.ask_digest(ask))
    assert codes(lambda: sign_draft(house.custody, SHELL, request_id, plain)) == {"digest_mismatch"}
    sign_one_draft(house, request_id, ask, "zhou")
    view = show_request(house.custody, request_id)
    assert view.requester == house.members["zhou"].person
    assert codes(lambda: sign_one_draft(house, request_id, ask, "wang")) == {"request_not_open"}


def sign_one_draft(house: House, request_id: UUID, ask: Ask, who: str) -> None:
    digest = house.ask_digest(ask, request_id)
    token = house.sign("file_transfer", digest, who)
    sign_draft(house.custody, SHELL, request_id, token)


def test_the_rows_of_a_draft_freeze_when_it_is_signed(house: House) -> None:
    ask = house.ask_transfer()
    request_id = file_request(house.custody, SHELL, ask, None)
    house.store([person(3)])
    sign_one_draft(house, request_id, ask, "wang")
    house.store([person(4)])
    assert show_request(house.custody, request_id).request.rows == 3


def test_only_the_requester_edits(house: House) -> None:
    request_id = house.awaiting()
    assert codes(lambda: house.edit(request_id, house.ask_transfer(), "zhou")) == {
        "role_not_permitted"
    }
    digest = house.ask_digest(house.ask_transfer())
    token = house.sign("file_transfer", digest)
    assert codes(
        lambda: edit_request(house.custody, SHELL, request_id, house.ask_transfer(), token)
    ) == {"digest_mismatch"}


def test_what_happened_is_announced_once_and_never_too_early(house: House) -> None:
    request_id = house.file(house.ask_transfer())
    (filed,) = unannounced(house.custody)
    assert (filed.event, filed.request_id) == ("custody.request.filed", request_id)
    decide_transfer(house.custody, SHELL, request_id)
    assert unannounced(house.custody) == []
    assert not mark_announced(house.custody, filed)
    house.vote(request_id, "zhao")
    house.vote(request_id, "qian")
    (approved,) = unannounced(house.custody)
    assert approved.event == "custody.request.approved"
    assert not mark_announced(house.custody, filed)
    assert mark_announced(house.custody, approved)
    assert unannounced(house.custody) == []
    assert not mark_announced(house.custody, approved)


def test_requests_are_listed_by_state(house: House) -> None:
    first = house.awaiting()
    house.clock.advance(seconds=1)
    second = house.file(house.ask_use())
    assert [line.id for line in list_requests(house.custody)] == [first, second]
    assert [line.id for line in list_requests(house.custody, "awaiting")] == [first]


def test_names_the_policy_does_not_know_are_a_wrong_call(house: House) -> None:
    for change in ({"dataset": "salaries"}, {"fields": {"shoe_size": "clear"}}):
        with pytest.raises(UnknownNameError):
            house.file(house.ask_use(**change))


def test_the_ledger_says_how_each_actor_was_established(house: House) -> None:
    request_id = house.awaiting()
    house.vote(request_id, "zhao")
    url = house.custody.data.url.render_as_string(hide_password=False)
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        entries = connection.execute(
            "SELECT event, body::json ->> 'how', body::json ->> 'actor' FROM ledger.entries"
            " ORDER BY seq DESC LIMIT 3"
        ).fetchall()
    assert entries == [
        ("request:vote:cast", "signed", house.members["zhao"].person.shown),
        ("request:transfer:decided", "os-user", "tester"),
        ("request:filed", "signed", house.members["wang"].person.shown),
    ]


def test_a_vote_on_a_use_that_needs_none_is_refused(house: House) -> None:
    request_id = house.file(house.ask_use())
    decide_use(house.custody, SHELL, request_id)
    zhao = house.members["zhao"]
    request = show_request(house.custody, request_id).request
    token = vote_token(zhao.key.signer(zhao.id), request, "reject", house.clock())
    assert codes(lambda: cast_vote(house.custody, SHELL, token)) == {"request_not_open"}
