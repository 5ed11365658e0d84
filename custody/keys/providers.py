"""Which provider keeps the root key, by what is configured."""

from dataclasses import dataclass, field
from pathlib import Path

from custody.keys.document import kind_of
from custody.keys.keystore import Keystore
from custody.keys.root import KeyFileProvider, PassphraseProvider, RootProvider
from custody.keys.token import TokenPlace, TokenProvider
from custody.suites import AES_256_GCM, Suite


@dataclass(frozen=True, kw_only=True, slots=True)
class RootPlace:
    """Where the root key is kept.

    Attributes:
        key_file: The file with the root key, where no passphrase is used.
        passphrase: What wraps the root key, where no key file is used.
        token: The token that holds it, where it is in one.
        kind: Which of them a new keystore takes; None: the passphrase if there is one, else a file.
    """

    key_file: Path
    passphrase: bytes | None = field(default=None, repr=False)
    token: TokenPlace | None = None
    kind: str | None = None


def provider_for(
    place: RootPlace, kind: str | None = None, suite: Suite = AES_256_GCM
) -> RootProvider:
    """Return the provider; nothing is opened yet.

    Args:
        place: What is configured.
        kind: Which provider an existing keystore needs; for a new one, what is configured decides.
        suite: Under which a root in this process's memory wraps; a token has its own way.
    """
    default = PassphraseProvider.kind if place.passphrase else KeyFileProvider.kind
    wanted = kind or place.kind or default
    if wanted == TokenProvider.kind:
        return TokenProvider(place.token)
    if wanted == PassphraseProvider.kind:
        return PassphraseProvider(place.passphrase, suite)
    return KeyFileProvider(place.key_file, suite)


def open_keystore(path: Path, place: RootPlace, suite: Suite = AES_256_GCM) -> Keystore:
    """Open an installation's keystore with the provider that it names.

    Raises:
        RootUnavailableError: The file, the root key or the passphrase is missing or wrong.
    """
    return Keystore(path, provider_for(place, kind_of(path), suite))
