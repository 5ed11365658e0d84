"""The root key in a PKCS#11 token (OASIS PKCS #11 v2.40): it never leaves it.

One secret key object per generation, AES-256, sensitive and not extractable, labelled
``custody/<installation, 32 hex>/<generation>``. An entry of the keystore wrapped by it::

    offset  size  content
         0     1  format version, 1
         1     1  0xF1: wrapped inside a token with CKM_AES_GCM
         2    12  nonce, random
        14    48  ciphertext of the 32 bytes, and tag

bound to bytes 0 and 1, the installation and the entry's name. A token that does not answer within
three seconds counts as gone: what needs the root fails closed.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from custody.errors import CustodyError, UsageError
from custody.keys.root import Description, Root, RootSilentError, RootUnavailableError
from custody.keys.wrapping import IN_TOKEN
from custody.seal import VERSION, encode_context
from custody.suites import NONCE_BYTES, TAG_BYTES

if TYPE_CHECKING:
    from pkcs11 import Session

PATIENCE_SECONDS: Final = 3.0
_PREFIX: Final = bytes((VERSION, IN_TOKEN))
_KEY_BITS: Final = 256
_TAG_BITS: Final = 8 * TAG_BYTES
_HEADER_BYTES: Final = len(_PREFIX) + NONCE_BYTES
# An application logs into a token once, whatever the number of its threads.
_one_at_a_time = threading.Lock()
# What a library of a vendor may raise: its own errors are of RuntimeError.
_REFUSALS: Final = (CustodyError, RuntimeError, OSError, ValueError, TypeError)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPlace:
    """Where a token is.

    Attributes:
        module: The vendor's PKCS#11 library.
        label: The token's label.
        pin: What opens it.
    """

    module: Path
    label: str
    pin: str = field(repr=False)


class TokenProvider:
    """Root keys as objects of a token."""

    kind = "pkcs11"

    def __init__(self, place: TokenPlace | None) -> None:
        """Take where the token is; None makes every call ask for it."""
        self._place = place

    def create(self, installation: bytes, generation: int) -> tuple[Root, Description]:
        """Make a key object; one that a killed rotation left under the same label goes first.

        Raises:
            RootUnavailableError: The first generation finds one, or the token does not answer.
        """
        label = _label(installation, generation)

        def make(session: "Session") -> None:
            from pkcs11 import Attribute, KeyType  # noqa: PLC0415 - an extra, not always there

            found = list(_keys(session, label))
            if found and generation == 1:
                raise RootUnavailableError("the token has a root key of it already")
            for left in found:
                left.destroy()
            closed = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
            session.generate_key(KeyType.AES, _KEY_BITS, label=label, store=True, template=closed)

        self._within_patience(make)
        described = {"kind": self.kind, "generation": generation, "label": label}
        return self.open(installation, described), described

    def open(self, installation: bytes, described: Description) -> Root:
        """Return the root that the label names.

        Raises:
            RootUnavailableError: The token does not answer, or has no such key (any more).
        """
        root = TokenRoot(self, installation, str(described["label"]))
        root.require_there()
        return root

    def destroy(self, described: Description) -> None:
        """Destroy the key object; running it again is success."""
        label = str(described["label"])

        def end(session: "Session") -> None:
            for key in list(_keys(session, label)):
                key.destroy()

        self._within_patience(end)

    def with_key(self, label: str, act: Callable[[Any], _T]) -> _T:
        """Return what ``act`` makes of the key called ``label``.

        Raises:
            RootUnavailableError: The token does not answer, or has no such key.
        """

        def use(session: "Session") -> _T:
            key = next(_keys(session, label), None)
            if key is None:
                raise RootUnavailableError("the token has no such root key")
            return act(key)

        return self._within_patience(use)

    def _within_patience(self, act: Callable[["Session"], _T]) -> _T:
        """Do something in a session, in a thread of its own that is not waited for for ever."""
        answers: list[_T] = []
        errors: list[Exception] = []

        def work() -> None:
            try:
                with self._session() as session:
                    answers.append(act(session))
            except _REFUSALS as error:
                errors.append(error)

        deadline = time.monotonic() + PATIENCE_SECONDS
        if not _one_at_a_time.acquire(timeout=PATIENCE_SECONDS):
            raise RootSilentError("the token does not answer")
        worker = threading.Thread(target=_then_release(work), daemon=True)
        worker.start()
        worker.join(max(0.0, deadline - time.monotonic()))
        if answers:
            return answers[0]
        if errors and isinstance(errors[0], CustodyError):
            raise errors[0]
        if not errors:
            raise RootSilentError("the token does not answer")
        # What a vendor's library says may name anything.
        raise RootUnavailableError("the token refuses") from None

    @contextmanager
    def _session(self) -> "Iterator[Session]":
        if self._place is None:
            raise UsageError(
                "the root key is in a token: set CUSTODY_PKCS11_MODULE and its PIN file"
            )
        try:
            import pkcs11  # noqa: PLC0415 - an extra, not always there
        except ImportError:
            raise UsageError("a token needs the extra custody[pkcs11]") from None
        token = pkcs11.lib(str(self._place.module)).get_token(token_label=self._place.label)
        with token.open(user_pin=self._place.pin, rw=True) as session:
            yield session


class TokenRoot:
    """One generation of the root key, used where it is."""

    def __init__(self, provider: TokenProvider, installation: bytes, label: str) -> None:
        self._provider = provider
        self._installation = installation
        self._label = label

    def require_there(self) -> None:
        """Check that the token has the key.

        Raises:
            RootUnavailableError: It has not, or does not answer.
        """
        self._provider.with_key(self._label, lambda _: None)

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Return ``secret`` wrapped for the entry called ``name``."""
        nonce = os.urandom(NONCE_BYTES)
        arguments = self._arguments(name, nonce)
        sealed = self._provider.with_key(self._label, lambda key: key.encrypt(secret, **arguments))
        return _PREFIX + nonce + bytes(sealed)

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Return the secret of the entry called ``name``.

        Raises:
            RootUnavailableError: It does not open, or the token does not answer.
        """
        if wrapped[: len(_PREFIX)] != _PREFIX or len(wrapped) < _HEADER_BYTES + TAG_BYTES:
            raise RootUnavailableError(f"keystore entry {name} does not open")
        arguments = self._arguments(name, wrapped[len(_PREFIX) : _HEADER_BYTES])
        body = wrapped[_HEADER_BYTES:]

        def open_it(key: Any) -> bytes:  # noqa: ANN401 - the library has no types
            from pkcs11 import PKCS11Error  # noqa: PLC0415 - as above

            try:
                return bytes(key.decrypt(body, **arguments))
            except PKCS11Error:
                raise RootUnavailableError(f"keystore entry {name} does not open") from None

        return self._provider.with_key(self._label, open_it)

    def _arguments(self, name: str, nonce: bytes) -> dict[str, Any]:
        from pkcs11 import GCMParams, Mechanism  # noqa: PLC0415 - as above

        bound = _PREFIX + encode_context((self._installation, name.encode()))
        parameters = GCMParams(nonce, bound, _TAG_BITS)
        return {"mechanism": Mechanism.AES_GCM, "mechanism_param": parameters}


def _then_release(work: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        try:
            work()
        finally:
            _one_at_a_time.release()

    return both


def _label(installation: bytes, generation: int) -> str:
    return f"custody/{installation.hex()}/{generation}"


def _keys(session: "Session", label: str) -> Iterator[Any]:
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415 - as above

    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label}
    yield from session.get_objects(wanted)
