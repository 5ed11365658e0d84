"""What is set through the environment: where things lie and which servers are used.

Every setting is a variable ``CUSTODY_<NAME>``, documented in docs/settings.md; a test keeps that
page complete. An empty variable is an unset one. The environment is read here and nowhere else in
the packages below ``config``. Secrets are named by file, never given by value; a URL may hold a
password, so it never shows.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from custody.embedded.runtime import Wanted
from custody.errors import UsageError
from custody.note import COSIGNATURE, NoteInvalidError, VerifierKey

PREFIX = "CUSTODY_"
# Set for the tests and read by them only.
FOR_TESTS = frozenset({"CUSTODY_TEST_REQUIRE", "CUSTODY_CHINOOK"})
DRIVER = "postgresql+psycopg"
MOST_PROCESSES = 4  # unless more are asked for
PASSWORD_IN_URL = re.compile(r"(//[^/@\s:]*):[^/@\s]*@")


class Settings(BaseSettings):
    """The settings of one process, checked."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default=Path(".custody"),
        description="The private folder of the installation: cluster, keystore, logs, outbox.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="The data database, as role custody_app; unset: the embedded PostgreSQL.",
    )
    keys_url: SecretStr | None = Field(
        default=None,
        description="The key database, as role custody_app; set together with the data database.",
    )
    prefect_api_url: str | None = Field(
        default=None,
        description="Prefect's API; unset: an embedded server on the embedded PostgreSQL.",
        validation_alias=AliasChoices("prefect_api_url", "PREFECT_API_URL"),
    )
    policy: Path | None = Field(
        default=None,
        description="The folder of the firm's policy; unset: the one of the home, or the example.",
    )
    key_file: Path | None = Field(
        default=None,
        description="The file with the root key; unset: one in the home.",
    )
    passphrase_file: Path | None = Field(
        default=None,
        description="A file whose first line is the passphrase that wraps the root key.",
    )
    key_provider: Literal["key-file", "passphrase", "pkcs11"] | None = Field(
        default=None,
        description="What keeps a new installation's root key; unset: passphrase or key file.",
    )
    pkcs11_module: Path | None = Field(
        default=None, description="The PKCS#11 library of the token that holds the root key."
    )
    pkcs11_token: str = Field(default="custody", description="The label of that token.")
    pkcs11_pin_file: Path | None = Field(
        default=None, description="A file whose first line is the PIN of that token."
    )
    checkpoints: Path | None = Field(
        default=None,
        description="The folder of the ledger's checkpoints, best on another disk; unset: in the"
        " home.",
    )
    witness_url: SecretStr | None = Field(
        default=None, description="Where a witness cosigns them; unset: nobody does."
    )
    witness_key: str | None = Field(
        default=None, description="The verifier key of that witness; set together with its URL."
    )
    locale: Literal["en", "zh"] = Field(default="en", description="The language of messages.")
    chunk_rows: int = Field(
        default=10_000, ge=1, le=100_000, description="How many rows a chunk has at most."
    )
    processes: int = Field(
        default_factory=lambda: min(os.cpu_count() or 1, MOST_PROCESSES),
        ge=1,
        le=64,
        description="How many processes share a large batch; unset: the cores, at most 4.",
    )

    @field_validator(
        "home",
        "policy",
        "key_file",
        "passphrase_file",
        "pkcs11_module",
        "pkcs11_pin_file",
        "checkpoints",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path is not None else None

    @field_validator("database_url", "keys_url")
    @classmethod
    def _driver(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and url.get_secret_value().partition("://")[0] != DRIVER:
            raise ValueError(f"must begin with {DRIVER}://")
        return url

    @model_validator(mode="after")
    def _whole_provider(self) -> Self:
        if self.key_provider == "pkcs11" and not (self.pkcs11_module and self.pkcs11_pin_file):
            raise ValueError("pkcs11 needs CUSTODY_PKCS11_MODULE and CUSTODY_PKCS11_PIN_FILE")
        if self.key_provider == "passphrase" and self.passphrase_file is None:
            raise ValueError("passphrase needs CUSTODY_PASSPHRASE_FILE")
        return self

    @model_validator(mode="after")
    def _two_databases(self) -> Self:
        if (self.database_url is None) is not (self.keys_url is None):
            raise ValueError("CUSTODY_DATABASE_URL and CUSTODY_KEYS_URL are set together or not")
        if self.database_url is not None and self.database_url == self.keys_url:
            raise ValueError("data and keys must be two databases")
        return self

    @field_validator("witness_url")
    @classmethod
    def _http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in {"http", "https"}:
            raise ValueError("must begin with http:// or https://")
        return url

    @field_validator("witness_key")
    @classmethod
    def _cosigns(cls, key: str | None) -> str | None:
        if key is not None and not _is_cosigner(key):
            raise ValueError("must be what custody witness init printed")
        return key

    @model_validator(mode="after")
    def _whole_witness(self) -> Self:
        if (self.witness_url is None) is not (self.witness_key is None):
            raise ValueError("CUSTODY_WITNESS_URL and CUSTODY_WITNESS_KEY are set together or not")
        return self

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        """Show what is set, with every password left out."""
        return [(name, without_password(value)) for name, value in super().__repr_args__()]


def wanted(settings: Settings) -> Wanted:
    """Return what the runtime is to have running, with the environment its processes get."""
    return Wanted(
        home=settings.home,
        environment={**os.environ, "CUSTODY_HOME": str(settings.home)},
        database_url=_reveal(settings.database_url),
        keys_url=_reveal(settings.keys_url),
        prefect_api_url=settings.prefect_api_url,
    )


def load_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        UsageError: A variable has a value it cannot have; the value is not repeated.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = [_problem(problem["loc"], problem["msg"]) for problem in error.errors()]
    raise UsageError("settings are wrong", "; ".join(problems)) from None


def variables() -> dict[str, str]:
    """Return every variable that custody reads, with its description."""
    return {_variable(name): str(f.description) for name, f in Settings.model_fields.items()}


def unknown_variables(
    environment: Mapping[str, str] | None = None, *, known: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the CUSTODY_* variables that nothing reads: misspelt ones, most likely.

    Args:
        environment: Where to look; by default this process's environment.
        known: Variables that the policy's sources name.
    """
    read = {*variables(), *FOR_TESTS, *known}
    present = os.environ if environment is None else environment
    return tuple(sorted(n for n in present if n.startswith(PREFIX) and n not in read))


def without_password(value: object) -> object:
    """Return a text without the password of the URL it holds, and nothing of a secret."""
    return PASSWORD_IN_URL.sub(r"\1:***@", value) if isinstance(value, str) else value


def _is_cosigner(key: str) -> bool:
    try:
        return VerifierKey.parse(key).kind == COSIGNATURE
    except NoteInvalidError:
        return False


def _reveal(url: SecretStr | None) -> str | None:
    return url.get_secret_value() if url is not None else None


def _variable(name: str) -> str:
    return "PREFECT_API_URL" if name == "prefect_api_url" else f"{PREFIX}{name.upper()}"


def _problem(place: tuple[int | str, ...], message: str) -> str:
    name = ".".join(_variable(str(part)) for part in place if not isinstance(part, int))
    return f"{name}: {message}" if name else message
