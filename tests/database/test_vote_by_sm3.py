"""Digests of requests by SM3, where the installation was created under ``gm``, and only by it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from own_databases import Databases
from people_house import SHELL, House, build_house, close_house, person

from custody.acts.read import READ, read
from custody.acts.request_state import ACTS
from custody.acts.request_views import show_request
from custody.acts.requests import file_destruction, file_request
from custody.acts.transfer import deliver
from custody.acts.use import decide_use, grant_use
from custody.acts.vote import cast_vote
from custody.approval import Digest, Request, ask_digest, read_digest
from custody.canonical import SHA256, SM3
from custody.database.engine import transaction
from custody.errors import RefusedError
from custody.identifiers import GRANT, random_id, show_id
from custody.packages.outbox import MANIFEST, SIGNATURE, verify_manifest
from custody.statements import APPROVAL, decode, make_token, parse_token
from custody.suites import AES_256_GCM, SM4_GCM


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path, suite=SM4_GCM)
    built.store([person(1), person(2)])
    yield built
    close_house(built)


def sm3(message: bytes) -> bytes:
    running = hashes.Hash(hashes.SM3())
    running.update(message)
    return running.finalize()


def refused(house: House, token: str) -> set[str]:
    with pytest.raises(RefusedError) as error:
        cast_vote(house.custody, SHELL, token)
    return {reason.code for reason in error.value.reasons}


def test_a_transfer_is_approved_and_delivered_over_its_sm3_digest(house: House) -> None:
    request_id = house.awaiting()
    view = show_request(house.custody, request_id)
    expected = "sm3:" + sm3(b"custody/request/v1\0" + view.request.body).hex()
    assert view.digest == expected
    assert view.request.ask.startswith("sm3:")
    token = house.ballot(request_id, "zhao")
    said = parse_token(token, APPROVAL, installation=house.custody.installation_id)
    assert said.own("dig") == expected
    cast_vote(house.custody, SHELL, token)
    assert house.vote(request_id, "qian").state == "approved"
    folder = deliver(house.custody, SHELL, request_id).folder
    manifest, signature = (folder / MANIFEST).read_bytes(), (folder / SIGNATURE).read_text()
    verify_manifest(house.custody.keyring.verify_key_bytes(), manifest, decode(signature))
    assert json.loads(manifest)["digest"] == expected


def test_what_is_read_under_a_grant_is_signed_by_sm3(house: House) -> None:
    request_id = house.file(house.ask_use())
    decide_use(house.custody, SHELL, request_id)
    grant = grant_use(house.custody, SHELL, request_id)
    assert len(house.read(grant.id).rows) == 2


def other_digests(request: Request) -> list[str]:
    """Return digests of the request that are not the one to sign."""
    before = replace(request, by=SHA256)
    right = request.digest.value
    return [
        str(before.digest),
        str(Digest(by=SM3, value=before.digest.value)),
        str(Digest(by=SHA256, value=right)),
        str(Digest(by="sha256:", value=right)),
        f"SM3:{right.hex()}",
    ]


def test_a_vote_over_any_other_digest_of_the_request_does_not_count(house: House) -> None:
    request_id = house.awaiting()
    request = show_request(house.custody, request_id).request
    member = house.members["zhao"]
    own: dict[str, str | int] = {"rid": request.shown, "rev": 1, "dec": "approve"}
    for text in other_digests(request):
        token = make_token(
            member.key.signer(member.id),
            APPROVAL,
            own | {"dig": text},
            installation=request.installation,
            at=house.clock(),
        )
        assert refused(house, token) == {"digest_mismatch"}, text
    assert house.vote(request_id, "zhao").votes == 1


def test_a_vote_by_the_hash_of_another_suite_does_not_count(house: House) -> None:
    """As a program of before would cast it, which knows the request and not the hash."""
    request_id = house.awaiting()
    request = replace(show_request(house.custody, request_id).request, by=SHA256)
    assert refused(house, house.ballot_on(request, "zhao")) == {"digest_mismatch"}


def test_a_request_put_back_to_sha_256_is_not_what_was_filed(house: House) -> None:
    """With body, digest and votes all of one mind: the hash is the installation's."""
    request_id = house.awaiting()
    before = replace(show_request(house.custody, request_id).request, by=SHA256)
    put_back(house, request_id, before)
    with pytest.raises(RefusedError, match="digest_mismatch"):
        show_request(house.custody, request_id)
    assert refused(house, house.ballot_on(before, "zhao")) == {"digest_mismatch"}


def put_back(house: House, request_id: UUID, request: Request) -> None:
    """Write a request into the database as its administrator can."""
    url = house.custody.data.url.render_as_string(hide_password=False)
    url = url.replace("custody_app", "custody_owner").replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE custody.requests SET body = %s, digest = %s WHERE id = %s",
            (request.body.decode(), request.digest.value, request_id),
        )


def test_an_ask_signed_by_sha_256_is_not_filed(house: House) -> None:
    ask = house.ask_use()
    digest = ask_digest(house.custody.installation_id, ask, by=SHA256)
    with pytest.raises(RefusedError, match="digest_mismatch"):
        file_request(house.custody, SHELL, ask, house.sign(ACTS[ask.kind], digest))


def test_a_reading_signed_by_sha_256_shows_nothing(house: House) -> None:
    grant = random_id()
    shown = show_id(GRANT, grant)
    digest = read_digest(house.custody.installation_id, shown, None, 100, by=SHA256)
    with pytest.raises(RefusedError, match="digest_mismatch"):
        read(house.custody, SHELL, house.sign(READ, digest), grant)


def test_two_people_approve_a_plan_by_sm3(house: House) -> None:
    with transaction(house.custody.data) as connection:
        plan = random_id()
        request_id = file_destruction(connection, house.custody, plan, requester=None, left_out={})
    assert show_request(house.custody, request_id).digest.startswith("sm3:")
    house.vote(request_id, "zhao")
    assert house.vote(request_id, "qian").state == "approved"


def test_the_hash_stays_when_the_policy_wants_another_suite(house: House) -> None:
    request_id = house.awaiting()
    policy = house.custody.policy
    settings = replace(policy.settings, suite=AES_256_GCM)
    house.custody = replace(house.custody, policy=replace(policy, settings=settings))
    assert house.custody.hash_name == SM3
    assert house.vote(request_id, "zhao").votes == 1
