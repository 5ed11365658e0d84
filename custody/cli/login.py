"""``custody login`` and ``logout``: a session for the working day, opened with a person's key."""

from custody.cli.output import show
from custody.cli.session import opened, os_user
from custody.cli.signing import (
    KeyOption,
    PassphraseOption,
    SessionOption,
    open_key,
    private_folder,
    read_own_session,
    session_path,
)


def login(
    *,
    key: KeyOption,
    session: SessionOption = None,
    person_passphrase_file: PassphraseOption = None,
) -> None:
    """Open a session with your key.

    It signs requests and reads until it ends by itself; it can neither vote nor enrol.
    """
    from custody.acts.session import login as open_session
    from custody.identifiers import SESSION, STAFF, show_id

    path = session_path(session)
    with opened() as custody:
        own = open_key(key, person_passphrase_file)
        private_folder(path.parent)
        made = open_session(custody, os_user(), own, path)
    document = {
        "session": show_id(SESSION, made.session_id),
        "staff": show_id(STAFF, made.staff_id),
        "expires_at": made.expires_at,
    }
    show(document, "logged_in")


def logout(*, session: SessionOption = None) -> None:
    """End the session and remove its file."""
    from custody.acts.session import logout as end_session
    from custody.identifiers import SESSION, show_id

    path = session_path(session)
    own = read_own_session(session)
    with opened() as custody:
        end_session(custody, os_user(), path)
    show({"session": show_id(SESSION, own.session_id)}, "logged_out")
