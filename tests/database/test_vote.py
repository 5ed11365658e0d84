"""Votes: sixty ways to get a transfer approved that must not work, each refused with its code."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from own_databases import Databases
from people_house import CHEAP, SHELL, WORDS, House, build_house, close_house, person

from custody.acts.request_views import request_state, show_request
from custody.acts.requests import file_destruction
from custody.acts.session import login
from custody.acts.staff import deactivate_staff, enrol, unlock, unlock_token
from custody.acts.transfer import decide_transfer, deliver
from custody.acts.use import decide_use, grant_use
from custody.acts.vote import cast_vote, require_approval
from custody.approval import CLEAR, Request
from custody.canonical import canonical
from custody.database.engine import transaction
from custody.errors import AwaitingApprovalError, RefusedError, UsageError
from custody.identifiers import REQUEST, SESSION, STAFF, random_id, show_id
from custody.keys.person import create_person_key
from custody.statements import decode, encode

Attack = Callable[[House, UUID], str]


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path)
    built.store([person(1), person(2)])
    yield built
    close_house(built)


def parts(token: str) -> tuple[dict[str, Any], bytes]:
    text, signature = token.split(".")
    return json.loads(decode(text)), decode(signature)


def resign(
    house: House,
    token: str,
    who: str = "zhao",
    *,
    drop: str = "",
    domain: str = "approval",
    **fields: Any,
) -> str:
    """Return the statement with other fields, properly signed by ``who``."""
    said, _ = parts(token)
    said |= fields
    said.pop(drop, None)
    text = canonical(said)
    signed = f"custody/{domain}/v1\0".encode() + text
    return f"{encode(text)}.{encode(house.members[who].key.private.sign(signed))}"


def changed(drop: str = "", domain: str = "approval", **fields: Any) -> Attack:
    """Return an attack by a statement with other fields."""
    return lambda house, request_id: resign(
        house, house.ballot(request_id, "zhao"), drop=drop, domain=domain, **fields
    )


def shifted(**seconds: int) -> Attack:
    """Return an attack by a statement with other times."""

    def attack(house: House, request_id: UUID) -> str:
        token = house.ballot(request_id, "zhao")
        said, _ = parts(token)
        return resign(house, token, **{name: said[name] + by for name, by in seconds.items()})

    return attack


def mangled(change: Callable[[str], str]) -> Attack:
    """Return an attack by a token that is altered as text."""
    return lambda house, request_id: change(house.ballot(request_id, "zhao"))


def rewritten(change: Callable[[bytes], bytes]) -> Attack:
    """Return an attack by a statement whose bytes are altered, then signed."""

    def attack(house: House, request_id: UUID) -> str:
        text = change(decode(house.ballot(request_id, "zhao").split(".")[0]))
        signature = house.members["zhao"].key.private.sign(b"custody/approval/v1\0" + text)
        return f"{encode(text)}.{encode(signature)}"

    return attack


def by(who: str) -> Attack:
    return lambda house, request_id: house.ballot(request_id, who)


def then(first: Callable[[House, UUID], object], vote: Attack | None = None) -> Attack:
    """Return an attack that does something before an ordinary vote."""

    def attack(house: House, request_id: UUID) -> str:
        first(house, request_id)
        return (vote or by("zhao"))(house, request_id)

    return attack


def behind(change: Callable[[House, UUID], object]) -> Attack:
    """Return an attack that does something between the signature and the vote."""

    def attack(house: House, request_id: UUID) -> str:
        token = house.ballot(request_id, "zhao")
        change(house, request_id)
        return token

    return attack


def sql(statement: str) -> Callable[[House, UUID], None]:
    """Return a change that a database administrator makes."""

    def change(house: House, request_id: UUID) -> None:
        url = house.custody.data.url.render_as_string(hide_password=False)
        url = url.replace("custody_app", "custody_owner")
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
            connection.execute("SET search_path = custody")
            connection.execute(statement, {"id": request_id})

    return change


def leave(who: str) -> Callable[[House, UUID], None]:
    return lambda house, _: deactivate_staff(house.custody, SHELL, house.members[who].id)


def edit(house: House, request_id: UUID) -> None:
    house.edit(request_id, house.ask_transfer(form="xlsx"))
    decide_transfer(house.custody, SHELL, request_id)


def new_key(house: House, _: UUID) -> None:
    zhao = house.members["zhao"]
    key = create_person_key(house.folder / "zhao-2", WORDS, CHEAP)
    enrol(house.custody, SHELL, zhao.id, key.public, house.vouch(zhao.person, key.public))


def another_request(house: House, _: UUID) -> str:
    return house.ballot(house.awaiting(), "zhao")


def session_key_votes(house: House, request_id: UUID) -> str:
    said, _ = parts(house.ballot(request_id, "zhao"))
    session = house.members["zhao"].session
    text = canonical(said | {"kid": show_id(SESSION, session.session_id)})
    signature = session.private.sign(b"custody/approval/v1\0" + text)
    return f"{encode(text)}.{encode(signature)}"


def a_use_in_clear(house: House, fields: tuple[str, ...]) -> UUID:
    ask = house.ask_use(fields=dict.fromkeys(fields, CLEAR))
    request_id = house.file(ask)
    decide_use(house.custody, SHELL, request_id)
    return request_id


def low_approver(house: House, _: UUID) -> str:
    roles = dict(house.custody.policy.roles)
    roles["approver"] = replace(roles["approver"], up_to=roles["engineer"].up_to)
    request_id = a_use_in_clear(house, ("name", "resident_id"))
    house.custody = replace(house.custody, policy=replace(house.custody.policy, roles=roles))
    return house.ballot(request_id, "zhao")


def no_such_role(house: House, request_id: UUID) -> str:
    roles = {n: r for n, r in house.custody.policy.roles.items() if n != "approver"}
    token = house.ballot(request_id, "zhao")
    house.custody = replace(house.custody, policy=replace(house.custody.policy, roles=roles))
    return token


def filed_only(house: House, _: UUID) -> str:
    return house.ballot(house.file(house.ask_transfer()), "zhao")


def refused_one(house: House, _: UUID) -> str:
    return house.ballot(house.awaiting(recipient="expired_partner"), "zhao")


def delivered_one(house: House, request_id: UUID) -> str:
    token = house.ballot_on(show_request(house.custody, request_id).request, "sun")
    house.vote(request_id, "zhao")
    house.vote(request_id, "qian")
    deliver(house.custody, SHELL, request_id)
    return token


def requester_votes(house: House, request_id: UUID) -> str:
    return house.ballot(request_id, "wang")


def requester_who_may_approve(house: House, _: UUID) -> str:
    roles = dict(house.custody.policy.roles)
    roles["business"] = replace(roles["business"], may=roles["business"].may | {"approve"})
    house.custody = replace(house.custody, policy=replace(house.custody.policy, roles=roles))
    return house.ballot(house.awaiting(), "wang")


def replayed(house: House, request_id: UUID) -> str:
    token = house.ballot(request_id, "zhao")
    cast_vote(house.custody, SHELL, token)
    return token


def replayed_after_edit(house: House, request_id: UUID) -> str:
    token = replayed(house, request_id)
    edit(house, request_id)
    return token


def old_revision_signed_again(house: House, request_id: UUID) -> str:
    before = show_request(house.custody, request_id).request
    edit(house, request_id)
    return house.ballot_on(before, "zhao")


def new_revision_old_digest(house: House, request_id: UUID) -> str:
    before = show_request(house.custody, request_id).request
    edit(house, request_id)
    return resign(house, house.ballot_on(before, "zhao"), rev=2)


def somebody_else_signs(house: House, request_id: UUID) -> str:
    return resign(house, house.ballot(request_id, "zhao"), who="qian")


def in_anothers_name(house: House, request_id: UUID) -> str:
    said, _ = parts(house.ballot(request_id, "qian"))
    return resign(house, house.ballot(request_id, "zhao"), sub=said["sub"])


def with_anothers_key(house: House, request_id: UUID) -> str:
    kid = house.members["qian"].key.kid
    return resign(house, house.ballot(request_id, "zhao"), who="qian", kid=kid)


def nobody(house: House, request_id: UUID) -> str:
    return resign(house, house.ballot(request_id, "zhao"), sub=show_id(STAFF, random_id()))


def never_enrolled(house: House, request_id: UUID) -> str:
    key = create_person_key(house.folder / "stranger", WORDS, CHEAP)
    house.members["stranger"] = replace(house.members["zhao"], key=key)
    return resign(house, house.ballot(request_id, "zhao"), who="stranger", kid=key.kid)


def enrolment_as_vote(house: House, _: UUID) -> str:
    zhou = house.members["zhou"]
    return house.vouch(zhou.person, zhou.key.public)


def flip(token: str, place: int) -> str:
    text, signature = token.split(".")
    raw = bytearray(decode(signature))
    raw[place] ^= 1
    return f"{text}.{encode(bytes(raw))}"


def cut(token: str, size: int) -> str:
    text, signature = token.split(".")
    return f"{text}.{encode(decode(signature)[:size])}"


def spaced(text: bytes) -> bytes:
    return json.dumps(json.loads(text)).encode()


def reversed_keys(text: bytes) -> bytes:
    said = dict(sorted(json.loads(text).items(), reverse=True))
    return json.dumps(said, separators=(",", ":")).encode()


DIGEST = "00" * 32
ABUSE: dict[str, tuple[Attack, str]] = {
    "an empty token": (lambda *_: "", "statement_invalid"),
    "no signature": (mangled(lambda t: t.split(".")[0]), "statement_invalid"),
    "an empty signature": (mangled(lambda t: t.split(".")[0] + "."), "signature_invalid"),
    "three parts": (mangled(lambda t: t + ".x"), "statement_invalid"),
    "a padded token": (mangled(lambda t: t + "=="), "statement_invalid"),
    "a line break": (mangled(lambda t: t + "\n"), "statement_invalid"),
    "another alphabet": (mangled(lambda t: "+" + t[1:]), "statement_invalid"),
    "over 2 KiB": (rewritten(lambda b: b + b" " * 2048), "statement_invalid"),
    "spaces": (rewritten(spaced), "statement_invalid"),
    "keys out of order": (rewritten(reversed_keys), "statement_invalid"),
    "a key twice": (
        rewritten(lambda b: b.replace(b'"v":1', b'"v":1,"v":1')),
        "statement_invalid",
    ),
    "a float": (rewritten(lambda b: b.replace(b'"v":1', b'"v":1.0')), "statement_invalid"),
    "a boolean": (rewritten(lambda b: b.replace(b'"v":1', b'"v":true')), "statement_invalid"),
    "a list": (rewritten(lambda b: b"[" + b + b"]"), "statement_invalid"),
    "not UTF-8": (rewritten(lambda b: b.replace(b"approve", b"\xff\xfe")), "statement_invalid"),
    "deep nesting": (rewritten(lambda _: b"[" * 1400), "statement_invalid"),
    "a field too many": (changed(note="please"), "statement_invalid"),
    "version 2": (changed(v=2), "statement_invalid"),
    "text for a number": (changed(rev="1"), "statement_invalid"),
    "a number for text": (changed(dec=1), "statement_invalid"),
    "an empty field": (changed(jti=""), "statement_invalid"),
    "a long field": (changed(jti="a" * 201), "statement_invalid"),
    "a person that is none": (changed(sub="zhao"), "statement_invalid"),
    "no such request": (changed(rid=show_id(REQUEST, random_id())), "statement_invalid"),
    "a request that is none": (changed(rid="all"), "statement_invalid"),
    "maybe": (changed(dec="maybe"), "statement_invalid"),
    "another type": (changed(typ="enrol"), "statement_invalid"),
    "another installation": (
        changed(aud="inst_00000000000000000000000000"),
        "statement_invalid",
    ),
    "an enrolment": (enrolment_as_vote, "statement_invalid"),
    "signed for another domain": (changed(domain="act"), "signature_invalid"),
    "a bit of the signature": (mangled(lambda t: flip(t, 0)), "signature_invalid"),
    "the last bit of the signature": (mangled(lambda t: flip(t, 63)), "signature_invalid"),
    "a short signature": (mangled(lambda t: cut(t, 63)), "signature_invalid"),
    "another's signature": (somebody_else_signs, "signature_invalid"),
    "in another's name": (in_anothers_name, "signature_invalid"),
    "with another's key": (with_anothers_key, "signature_invalid"),
    "nobody": (nobody, "signature_invalid"),
    "a key nobody enrolled": (never_enrolled, "signature_invalid"),
    "a session's key": (session_key_votes, "signature_invalid"),
    "a revoked key": (behind(new_key), "signature_invalid"),
    "expired": (behind(lambda h, _: h.clock.advance(seconds=601)), "statement_expired"),
    "of the future": (shifted(iat=61, exp=61), "statement_expired"),
    "valid too long": (shifted(exp=1), "statement_invalid"),
    "expired before it was issued": (shifted(exp=-601), "statement_invalid"),
    "a leaver": (then(leave("zhao")), "staff_inactive"),
    "left after signing": (behind(leave("zhao")), "staff_inactive"),
    "a role that may not": (by("zhou"), "role_not_permitted"),
    "a role the policy lost": (no_such_role, "role_not_permitted"),
    "a level too high": (low_approver, "level_not_permitted"),
    "the requester": (requester_votes, "requester_is_approver"),
    "a requester who may approve": (requester_who_may_approve, "requester_is_approver"),
    "another request": (
        lambda h, r: resign(h, another_request(h, r), rid=show_id(REQUEST, r)),
        "digest_mismatch",
    ),
    "another digest": (changed(dig=DIGEST), "digest_mismatch"),
    "the next revision": (changed(rev=2), "digest_mismatch"),
    "revision zero": (changed(rev=0), "digest_mismatch"),
    "edited after signing": (behind(edit), "digest_mismatch"),
    "an old revision": (old_revision_signed_again, "digest_mismatch"),
    "an old digest, renumbered": (new_revision_old_digest, "digest_mismatch"),
    "replayed after an edit": (replayed_after_edit, "digest_mismatch"),
    "a row removed": (
        behind(
            sql(
                "DELETE FROM request_records WHERE record_id = (SELECT min(record_id::text)::uuid"
                " FROM request_records WHERE request_id = %(id)s) AND request_id = %(id)s"
            )
        ),
        "digest_mismatch",
    ),
    "a row's version": (
        behind(sql("UPDATE request_records SET version = 2 WHERE request_id = %(id)s")),
        "digest_mismatch",
    ),
    "another requester": (
        behind(
            sql(
                "UPDATE requests SET requester = (SELECT id FROM staff WHERE name = 'zhou')"
                " WHERE id = %(id)s"
            )
        ),
        "digest_mismatch",
    ),
    "the body in the database": (
        behind(
            sql(
                "UPDATE requests SET body = replace(body, 'mobile', 'resident_id')"
                " WHERE id = %(id)s"
            )
        ),
        "digest_mismatch",
    ),
    "body and digest in the database": (
        behind(
            sql(
                "UPDATE requests SET body = replace(body, 'rescue', 'rescuf'), digest = sha256("
                "'custody/request/v1'::bytea || '\\x00'::bytea"
                " || replace(body, 'rescue', 'rescuf')::bytea) WHERE id = %(id)s"
            )
        ),
        "digest_mismatch",
    ),
    "voted already": (then(lambda h, r: h.vote(r, "zhao")), "already_voted"),
    "replayed": (replayed, "already_voted"),
    "approve after rejecting": (
        then(lambda h, r: h.vote(r, "zhao", "reject")),
        "request_not_open",
    ),
    "after another's rejection": (
        then(lambda h, r: h.vote(r, "qian", "reject")),
        "request_not_open",
    ),
    "not decided yet": (filed_only, "request_not_open"),
    "refused by the rules": (refused_one, "request_not_open"),
    "delivered already": (delivered_one, "request_not_open"),
}
for missing in ("v", "typ", "aud", "rid", "rev", "dig", "dec", "sub", "kid", "iat", "exp", "jti"):
    ABUSE[f"without {missing}"] = (changed(drop=missing), "statement_invalid")


def test_every_abuse_is_refused_with_its_code(house: House) -> None:
    assert len(ABUSE) >= 60
    base, staff = house.custody, dict(house.members)
    wrong = {}
    for name, (attack, code) in ABUSE.items():
        codes = attempt(house, attack)
        if code not in codes:
            wrong[name] = codes
        house.custody, house.members = base, dict(staff)
        restore(house)
    assert wrong == {}


def attempt(house: House, attack: Attack) -> list[str]:
    """Return the codes by which the attack was refused."""
    token = attack(house, house.awaiting())
    try:
        cast_vote(house.custody, SHELL, token)
    except RefusedError as error:
        return [reason.code for reason in error.reasons]
    return ["accepted"]


def restore(house: House) -> None:
    """Undo what an attack did to people: fresh keys, nobody gone, no failures."""
    sql("UPDATE staff SET state = 'active' WHERE %(id)s IS NOT NULL")(house, random_id())
    sql("UPDATE vote_failures SET cleared_at = now() WHERE %(id)s IS NOT NULL")(house, random_id())
    for member in house.members.values():
        change = "UPDATE staff_keys SET revoked_at = CASE WHEN kid = '{}' THEN NULL ELSE now() END"
        sql(
            change.format(member.key.kid)
            + f" WHERE staff_id = '{member.id}' AND %(id)s IS NOT NULL"
        )(house, random_id())
    house.clock.advance(hours=1)
    for name in ("wang", "zhou", "zhao"):
        relogin(house, name)


def relogin(house: House, name: str) -> None:
    member = house.members[name]
    session = login(house.custody, SHELL, member.key, house.folder / f"{name}.session")
    house.members[name] = replace(member, session=session)


def test_an_honest_vote_is_taken(house: House) -> None:
    """The table above would be worth nothing if no vote at all were taken."""
    request_id = house.awaiting()
    first = house.vote(request_id, "zhao")
    assert (first.state, first.votes) == ("awaiting", 1)
    second = house.vote(request_id, "qian")
    assert (second.state, second.votes) == ("approved", 2)
    view = show_request(house.custody, request_id)
    assert [decision for _, decision in view.votes] == ["approve", "approve"]
    third = house.ballot(request_id, "sun")
    with pytest.raises(RefusedError, match="request_not_open"):
        cast_vote(house.custody, SHELL, third)


def test_one_rejection_ends_a_request(house: House) -> None:
    request_id = house.awaiting()
    house.vote(request_id, "zhao")
    assert house.vote(request_id, "qian", "reject").state == "rejected"
    with pytest.raises(RefusedError):
        deliver(house.custody, SHELL, request_id)


def test_an_edit_voids_the_votes_cast_before(house: House) -> None:
    request_id = house.approved()
    edit(house, request_id)
    assert request_state(house.custody, request_id) == ("transfer", "awaiting")
    with pytest.raises(AwaitingApprovalError):
        deliver(house.custody, SHELL, request_id)
    house.vote(request_id, "zhao")
    house.vote(request_id, "qian")
    assert deliver(house.custody, SHELL, request_id).rows == 2


def test_what_an_approver_sees_is_what_the_digest_covers(house: House) -> None:
    view = show_request(house.custody, house.awaiting())
    request: Request = view.request
    assert view.digest == str(request.digest)
    assert (request.rows, request.customers, request.country) == (2, 2, "CN")
    assert request.fields == {"customer_no": "clear", "mobile": "clear", "name": "clear"}
    assert request.basis == "consent"
    assert len(request.key) == 64
    for name in ("rows", "country", "purpose", "form", "recipient", "key", "assessment"):
        other = replace(request, **{name: 9 if name == "rows" else "x"})
        assert other.digest != request.digest
    assert replace(request, until=request.until + timedelta(days=1)).digest != request.digest


def fail(house: House, request_id: UUID, times: int) -> None:
    for _ in range(times):
        with pytest.raises(RefusedError, match="signature_invalid"):
            cast_vote(house.custody, SHELL, somebody_else_signs(house, request_id))


def test_five_failures_lock_for_half_an_hour(house: House) -> None:
    request_id = house.awaiting()
    fail(house, request_id, 4)
    assert house.vote(request_id, "zhao").votes == 1
    second = house.awaiting()
    fail(house, second, 1)
    with pytest.raises(RefusedError, match="approver_locked"):
        house.vote(second, "zhao")
    assert house.vote(second, "qian").votes == 1
    house.clock.advance(minutes=30, seconds=1)
    assert house.vote(second, "zhao").votes == 2


def test_ten_failures_a_day_lock_until_another_officer_unlocks(house: House) -> None:
    request_id = house.awaiting()
    for _ in range(5):
        fail(house, request_id, 2)
        house.clock.advance(hours=1)
    house.clock.advance(hours=30)
    relogin(house, "wang")
    request_id = house.awaiting()
    with pytest.raises(RefusedError, match="approver_locked"):
        house.vote(request_id, "zhao")
    zhao = house.members["zhao"].id
    for officer, accepted in (("zhao", False), ("wang", False), ("sun", True)):
        member = house.members[officer]
        token = unlock_token(
            member.key.signer(member.id),
            zhao,
            installation=house.custody.installation_id,
            at=house.clock(),
        )
        if accepted:
            unlock(house.custody, SHELL, token)
        else:
            with pytest.raises(RefusedError):
                unlock(house.custody, SHELL, token)
    assert house.vote(request_id, "zhao").votes == 1


def test_a_failure_in_nobodys_name_is_counted_against_nobody(house: House) -> None:
    request_id = house.awaiting()
    for _ in range(12):
        with pytest.raises(RefusedError):
            cast_vote(house.custody, SHELL, nobody(house, request_id))
    assert house.vote(request_id, "zhao").votes == 1


def test_clear_reading_of_sensitive_fields_waits_for_two_votes(house: House) -> None:
    request_id = a_use_in_clear(house, ("name", "resident_id"))
    with pytest.raises(AwaitingApprovalError):
        grant_use(house.custody, SHELL, request_id)
    house.vote(request_id, "zhao")
    with pytest.raises(AwaitingApprovalError):
        grant_use(house.custody, SHELL, request_id)
    house.vote(request_id, "qian")
    grant = grant_use(house.custody, SHELL, request_id)
    assert house.read(grant.id).rows[0].values["resident_id"] == "11010519491231002X"


def planned(house: House, databases: Databases) -> UUID:
    """Return a plan for both customers' records, written as the planning act writes it."""
    plan_id = random_id()
    url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = custody")
        connection.execute(
            "INSERT INTO plans (id, as_of, policy_digest, data_digest, state, summary, created_at,"
            " created_by) VALUES (%s, current_date, %s, '', 'planned', '{}', now(), '')",
            [plan_id, house.custody.policy.digest],
        )
        connection.execute(
            "INSERT INTO plan_records (plan_id, customer_id, record_id, version, dataset, reason)"
            " SELECT %s, customer_id, id, version, dataset, 'retention_over' FROM records",
            [plan_id],
        )
    return plan_id


@pytest.mark.parametrize("requester", [None, "sun"])
def test_a_large_destruction_needs_two_votes_on_exactly_its_rows(
    house: House, databases: Databases, requester: str | None
) -> None:
    plan_id = planned(house, databases)
    asking = house.members[requester].id if requester else None
    with transaction(house.custody.data) as connection:
        request_id = file_destruction(
            connection, house.custody, plan_id, requester=asking, left_out={"held": 3}
        )
    assert show_request(house.custody, request_id).request.rows == 2
    if requester:
        with pytest.raises(RefusedError, match="requester_is_approver"):
            house.vote(request_id, requester)
    house.vote(request_id, "zhao")
    with (
        pytest.raises(AwaitingApprovalError),
        transaction(house.custody.data) as connection,
    ):
        require_approval(connection, house.custody, request_id)
    house.vote(request_id, "li")
    with transaction(house.custody.data) as connection:
        assert require_approval(connection, house.custody, request_id).id == request_id
    sql(
        "DELETE FROM plan_records WHERE record_id = (SELECT id FROM records LIMIT 1)"
        " AND %(id)s IS NOT NULL"
    )(house, plan_id)
    with (
        pytest.raises(RefusedError, match="digest_mismatch"),
        transaction(house.custody.data) as connection,
    ):
        require_approval(connection, house.custody, request_id)


def test_an_unknown_request_is_a_wrong_call(house: House) -> None:
    with pytest.raises(UsageError):
        show_request(house.custody, random_id())
