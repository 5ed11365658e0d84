"""``custody staff``: people join, get a key, leave."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, os_user
from custody.cli.signing import (
    OFFICER_PASSPHRASE_FILE,
    PASSPHRASE_FILE,
    PassphraseOption,
    open_key,
    passphrase,
)
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody
    from custody.people import Person

app = Group("staff", "People: add, enrol, list, deactivate, unlock.")
StaffArgument = Annotated[str, typer.Argument(help="The member of staff, staff_….")]
OfficerKeyOption = Annotated[
    Path | None, typer.Option(help="The key file of the officer who signs for it.")
]
OfficerPassphraseOption = Annotated[
    Path | None,
    typer.Option(
        envvar=OFFICER_PASSPHRASE_FILE,
        help="A file with the officer's passphrase; without it you are asked.",
    ),
]


@app.offers("add")
def add(
    *,
    name: Annotated[str, typer.Option(help="The person's name.")],
    department: Annotated[str, typer.Option(help="The department.")],
    role: Annotated[str, typer.Option(help="A role of the policy.")],
) -> None:
    """Add a member of staff, who can do nothing before a key is enrolled."""
    from custody.acts.staff import add_staff
    from custody.identifiers import STAFF, show_id

    with opened() as custody:
        staff_id = add_staff(custody, os_user(), name=name, department=department, role=role)
    show({"staff": show_id(STAFF, staff_id), "role": role}, "staff_added")


@app.offers("key")
def key(
    file: Annotated[Path, typer.Argument(help="The key file to make; it stays with you.")],
    *,
    person_passphrase_file: PassphraseOption = None,
) -> None:
    """Make your own key file and print the public key, which an officer enrols."""
    from custody.keys.person import create_person_key

    words = passphrase(person_passphrase_file, who=file.stem, new=True)
    made = create_person_key(file, words)
    show({"kid": made.kid, "public_key": made.public.hex(), "key": str(file)}, "key_made")


@app.offers("enrol")
def enrol(
    staff: StaffArgument,
    *,
    key_file: Annotated[
        Path | None, typer.Option("--key", help="The person's key file; made if it is not there.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="Or the public key, as custody staff key printed it.")
    ] = None,
    officer_key: OfficerKeyOption = None,
    person_passphrase_file: Annotated[
        Path | None,
        typer.Option(envvar=PASSPHRASE_FILE, help="A file with the person's passphrase."),
    ] = None,
    officer_passphrase_file: OfficerPassphraseOption = None,
) -> None:
    """Give a member of staff a key; after the first two officers another officer signs for it."""
    from custody.acts.staff import enrol as enrol_key
    from custody.acts.staff import find_staff
    from custody.identifiers import STAFF, read_id

    with opened() as custody:
        person = find_staff(custody, read_id(STAFF, staff))
        public = _public_key(public_key, key_file, person_passphrase_file)
        token = None
        if officer_key is not None:
            token = _vouch(custody, officer_key, officer_passphrase_file, person, public)
        kid = enrol_key(custody, os_user(), person.id, public, token)
    show({"staff": staff, "kid": kid, "role": person.role}, "staff_enrolled")


@app.offers("list")
def list_everybody() -> None:
    """List everybody, with role, state and the id of the current key."""
    from custody.acts.staff import list_staff

    with opened() as custody:
        rows = [_row(person, kid) for person, kid in list_staff(custody)]
    show({"staff": rows})


@app.offers("deactivate")
def deactivate(staff: StaffArgument) -> None:
    """Let a person go: sessions, grants and votes not yet used lose force at once."""
    from custody.acts.staff import deactivate_staff
    from custody.identifiers import STAFF, read_id

    with opened() as custody:
        deactivate_staff(custody, os_user(), read_id(STAFF, staff))
    show({"staff": staff, "state": "inactive"}, "staff_deactivated")


@app.offers("unlock")
def unlock(
    staff: StaffArgument,
    *,
    officer_key: Annotated[Path, typer.Option(help="The key file of another officer.")],
    officer_passphrase_file: OfficerPassphraseOption = None,
) -> None:
    """End the lock that failed votes brought upon a person; another officer signs for it."""
    from custody.acts.staff import require_key_owner, unlock_token
    from custody.acts.staff import unlock as unlock_person
    from custody.identifiers import STAFF, read_id

    with opened() as custody:
        key = open_key(officer_key, officer_passphrase_file)
        signer = key.signer(require_key_owner(custody, key.kid).id)
        token = unlock_token(
            signer, read_id(STAFF, staff), installation=custody.installation_id, at=custody.now()
        )
        unlock_person(custody, os_user(), token)
    show({"staff": staff}, "staff_unlocked")


def _public_key(given: str | None, file: Path | None, passphrase_file: Path | None) -> bytes:
    """Return the key to enrol: as given, or of a key file that is made where there is none."""
    from custody.keys.person import create_person_key

    if given is not None and file is None:
        try:
            return bytes.fromhex(given)
        except ValueError:
            raise UsageError("a public key is given in hexadecimal") from None
    if file is None or given is not None:
        raise UsageError("give either --key or --public-key")
    if file.exists():
        return open_key(file, passphrase_file).public
    words = passphrase(passphrase_file, who=file.stem, new=True)
    return create_person_key(file, words).public


def _vouch(
    custody: "Custody", file: Path, passphrase_file: Path | None, person: "Person", public: bytes
) -> str:
    from custody.acts.staff import enrolment_token, require_key_owner

    key = open_key(file, passphrase_file)
    signer = key.signer(require_key_owner(custody, key.kid).id)
    installation = custody.installation_id
    return enrolment_token(signer, person, public, installation=installation, at=custody.now())


def _row(person: "Person", kid: str) -> dict[str, object]:
    return {
        "staff": person.shown,
        "name": person.name,
        "department": person.department,
        "role": person.role,
        "state": person.state,
        "kid": kid,
    }
