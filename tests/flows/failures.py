"""Failures as they happen at the data border, each with a customer's values in it.

A failure is a function that is given a marked text and raises. The same ones are raised inside
every task by the leak canary.
"""

import asyncio
import csv
import ipaddress
import json
import pickle
import re
import sqlite3
import struct
import subprocess
import sys
import tomllib
import uuid
import warnings
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Never
from zoneinfo import ZoneInfo

import httpx
import jinja2
import msgspec
import pandas as pd
import phonenumbers
import pyrage
import sqlalchemy
import typer
from great_expectations.exceptions import GreatExpectationsError
from prefect.exceptions import ParameterTypeError, TerminationSignal
from pydantic import BaseModel, Field, SecretStr, TypeAdapter
from ruamel.yaml import YAML

from custody.acts.subjects import ChangedMeanwhileError
from custody.database.engine import DatabaseError
from custody.errors import CustodyError, QualityGateError, Reason, RefusedError, UsageError
from custody.policy.model import UnknownNameError
from custody.seal import SealInvalidError
from custody.sources import SourceError

Failure = Callable[[str], object]


class Colour(Enum):
    RED = "red"


class Person(BaseModel):
    name: str = Field(max_length=3)
    age: int


class PanicException(BaseException):
    """What a Rust library raises when it panics: no ``Exception``."""


class TalkativeError(Exception):
    """It keeps the value where only its own methods show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hidden = {"customer": [text]}

    def __repr__(self) -> str:
        return f"TalkativeError({self.hidden})"


class BrokenShownError(Exception):
    """Even showing it raises the value."""

    def __str__(self) -> str:
        raise ValueError(self.args)


class OddError(CustodyError):
    """An error of ours that cannot be built from its arguments."""

    def __init__(self, *, customer: str) -> None:
        super().__init__()
        self.customer = customer


def raising(kind: type[BaseException], *more: object) -> Failure:
    def fail(text: str) -> Never:
        raise kind(f"bad value: {text}", *more)

    return fail


def raising_with(make: Callable[[str], BaseException]) -> Failure:
    def fail(text: str) -> Never:
        raise make(text)

    return fail


def from_cause(text: str) -> Never:
    try:
        int(text)
    except ValueError as error:
        raise RuntimeError("could not read a row") from error


def in_context(text: str) -> Never:
    try:
        int(text)
    except ValueError:
        raise RuntimeError("could not read a row")  # noqa: B904 - the context is the point


def suppressed(text: str) -> Never:
    """Raise as careful code does: the context is hidden, and still there."""
    try:
        int(text)
    except ValueError:
        raise SourceError("the database cannot be read", "legacy") from None


def ours_from_cause(text: str) -> Never:
    try:
        int(text)
    except ValueError as error:
        raise DatabaseError("22P02", "customers_pkey") from error


def with_note(error: CustodyError | Exception, text: str) -> Never:
    error.add_note(f"while reading {text}")
    raise error


def with_attribute(text: str) -> Never:
    error = DatabaseError("22P02")
    error.row = {"name": text}  # type: ignore[attr-defined]
    raise error


def in_a_deep_frame(text: str) -> Never:
    """Leave the value in local variables of many frames only."""

    def deeper(depth: int, held: str) -> Never:
        kept = {"row": [held, held]}
        if depth:
            deeper(depth - 1, held)
        raise RuntimeError(len(kept))

    deeper(5, text)


def in_a_group(text: str) -> Never:
    raise ExceptionGroup(text, [ValueError(text), KeyError(text)])


def as_a_warning(text: str) -> Never:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn(f"cannot parse {text}", stacklevel=1)
    raise AssertionError


def in_sqlite(text: str) -> object:
    with sqlite3.connect(":memory:") as connection:
        return connection.execute(f"SELECT * FROM {text}")


def in_sqlalchemy(text: str) -> object:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (a TEXT UNIQUE CHECK (a = 'x'))"))
        return connection.execute(sqlalchemy.text("INSERT INTO t VALUES (:a)"), {"a": text})


def a_child_process(text: str) -> object:
    return subprocess.run([sys.executable, "-c", f"raise ValueError({text!r})"], check=True,
                          capture_output=True)  # fmt: skip


PLAIN: dict[str, Failure] = {
    kind.__name__: raising(kind)
    for kind in (
        ValueError, TypeError, KeyError, IndexError, LookupError, RuntimeError, AssertionError,
        AttributeError, NameError, ArithmeticError, OverflowError, ZeroDivisionError, ImportError,
        MemoryError, BufferError, EOFError, RecursionError, NotImplementedError, StopIteration,
        TimeoutError, ConnectionError, SyntaxError, UserWarning, csv.Error, struct.error,
        zlib.error, pickle.PicklingError, GreatExpectationsError, ParameterTypeError,
        typer.BadParameter, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError,
        PanicException, BrokenShownError, TalkativeError,
    )
}  # fmt: skip

REAL: dict[str, Failure] = {
    "int()": int,
    "float()": float,
    "Decimal()": Decimal,
    "date": date.fromisoformat,
    "strptime": lambda text: datetime.strptime(text, "%Y-%m-%d"),  # noqa: DTZ007
    "uuid": uuid.UUID,
    "enum": Colour,
    "zone": ZoneInfo,
    "address": ipaddress.ip_address,
    "key of a mapping": lambda text: {}[text],
    "index of a list": lambda text: [text].index(text + "x"),
    "attribute": lambda text: getattr(object(), text),
    "attribute of a namespace": lambda text: SimpleNamespace(row=text).nothing,
    "import": __import__,
    "regular expression": lambda text: re.compile(f"({text}"),
    "file": lambda text: Path(f"/nowhere/{text}.csv").read_text(encoding="utf-8"),
    "encode": lambda text: f"{text}é".encode("ascii"),
    "decode": lambda text: (text.encode() + b"\xff").decode("utf-8"),
    "decode gb18030": lambda text: (text.encode("gb18030") + b"\xff").decode("gb18030"),
    "JSON": lambda text: json.loads(f"{{{text}"),
    "TOML": tomllib.loads,
    "XML": lambda text: ET.fromstring(f"<a>{text}</b>"),  # noqa: S314 - ours
    "pickle": lambda text: pickle.loads(text.encode()),  # noqa: S301
    "unpacking": lambda text: struct.unpack(">Q", text.encode()),
    "child process": a_child_process,
    "sqlite": in_sqlite,
    "sqlalchemy": in_sqlalchemy,
    "database URL": lambda text: sqlalchemy.create_engine(f"nothing://{text}:{text}@x/y"),
    "pydantic": lambda text: Person(name=text, age=text),  # type: ignore[arg-type]
    "pydantic, secret": lambda text: TypeAdapter(SecretStr).validate_python({text: text}),
    "msgspec": lambda text: msgspec.convert({"age": text}, dict[str, int]),
    "msgpack": lambda text: msgspec.msgpack.decode(b"\xc1" + text.encode()),
    "pandas": lambda text: pd.to_datetime(pd.Series([text, text]), format="%Y"),
    "pandas, cast": lambda text: pd.Series([text]).astype("int64"),
    "pandas, key": lambda text: pd.DataFrame({"a": [text]})[text],
    "YAML": lambda text: YAML(typ="safe").load(f"a: [{text}\nb: }}"),
    "template": lambda text: jinja2.Environment(undefined=jinja2.StrictUndefined,  # noqa: S701
                                                ).from_string(f"{{{{ a['{text}'] }}}}").render(),
    "phone": lambda text: phonenumbers.parse(f"{text}-"),
    "age": pyrage.x25519.Recipient.from_str,
    "URL": lambda text: httpx.get(f"http://[{text}/"),
}  # fmt: skip

SHAPES: dict[str, Failure] = {
    "key error with a tuple": raising_with(lambda text: KeyError((text, {"name": text}))),
    "file error": raising_with(lambda text: FileNotFoundError(2, "No such file", f"{text}.csv")),
    "Unicode error": raising_with(
        lambda text: UnicodeDecodeError("utf-8", text.encode(), 0, 3, f"bad {text}")
    ),
    "import error": raising_with(lambda text: ImportError(text, name=text, path=text)),
    "child's error": raising_with(
        lambda text: subprocess.CalledProcessError(1, [text], text, text)
    ),
    "termination": raising_with(lambda _: TerminationSignal(15)),
    "cause": from_cause,
    "context": in_context,
    "suppressed context": suppressed,
    "local variables": in_a_deep_frame,
    "group": in_a_group,
    "warning": as_a_warning,
    "note": lambda text: with_note(RuntimeError("row"), text),
    "ours: note": lambda text: with_note(DatabaseError("22P02"), text),
    "ours: cause": ours_from_cause,
    "ours: attribute": with_attribute,
    "ours: in args": raising_with(lambda text: UsageError("no such file", f"{text}.csv")),
    "ours: name": raising_with(lambda text: UnknownNameError("purpose", text)),
    "ours: constraint": raising_with(lambda text: DatabaseError("23505", text)),
    "ours: place": raising_with(SealInvalidError),
    "ours: reason": raising_with(
        lambda text: RefusedError("request", (Reason(code="held", about=text),))
    ),
    "ours: subject": raising_with(lambda text: QualityGateError(text, ())),
    "ours: mapping": raising_with(lambda text: CustodyError({"name": text})),
    "ours: error in args": raising_with(lambda text: CustodyError(ValueError(text))),
    "ours: bytes in args": raising_with(lambda text: CustodyError(text.encode())),
    "ours: unpicklable": raising_with(lambda text: OddError(customer=text)),
    "ours: race": raising_with(ChangedMeanwhileError),
}

FAILURES: dict[str, Failure] = {**PLAIN, **REAL, **SHAPES}
