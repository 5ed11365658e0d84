"""Which provider keeps the root key, by what is configured."""

from dataclasses import dataclass, field
from pathlib import Path

from custody.keys.keystore import Keystore, kind_of
from custody.keys.root import KeyFileProvider, PassphraseProvider, RootProvider


@dataclass(frozen=True, kw_only=True, slots=True)
class RootPlace:
    """Where the root key is kept.

    Attributes:
        key_file: The file with the root key, where no passphrase is used.
        passphrase: What wraps the root key, where no key file is used.
    """

    key_file: Path
    passphrase: bytes | None = field(default=None, repr=False)


def provider_for(place: RootPlace, kind: str | None = None) -> RootProvider:
    """Return the provider; nothing is opened yet.

    Args:
        place: What is configured.
        kind: Which provider an existing keystore needs; for a new one, what is configured decides.
    """
    wanted = kind or (PassphraseProvider.kind if place.passphrase else KeyFileProvider.kind)
    if wanted == PassphraseProvider.kind:
        return PassphraseProvider(place.passphrase)
    return KeyFileProvider(place.key_file)


def open_keystore(path: Path, place: RootPlace) -> Keystore:
    """Open an installation's keystore with the provider that it names.

    Raises:
        RootUnavailableError: The file, the root key or the passphrase is missing or wrong.
    """
    return Keystore(path, provider_for(place, kind_of(path)))
