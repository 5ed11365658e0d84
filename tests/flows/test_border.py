"""What leaves a task when something fails in it: kinds and places, never a value (threats T3)."""

import pickle
import traceback
from collections.abc import Callable, Iterator

import cloudpickle
import psycopg
import pytest
from failures import FAILURES, Failure
from markers import CUSTOMERS, Marked
from prefect.exceptions import TerminationSignal
from sqlalchemy import create_engine
from sqlalchemy import text as sql
from sweep import find_forms

from custody.acts.subjects import ChangedMeanwhileError
from custody.database.engine import DatabaseError, transaction
from custody.errors import AwaitingApprovalError, CustodyError, Reason, RefusedError, UsageError
from custody.identifiers import BATCH, random_id, show_id
from tasks.border import UnexpectedError, withholding

TEXT = Marked(number=7).text("客户")
ID = Marked(number=7).resident_id


def raised(border: Callable[[Failure], Failure], failure: Failure) -> BaseException:
    """Return what leaves the border when ``failure`` happens behind it."""

    def read_customer(_batch: str) -> object:
        row = {"name": TEXT, "resident_id": ID}
        return failure(row["name"]) and failure(row["resident_id"])

    try:
        border(read_customer)("batch")
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def shown(error: BaseException) -> Iterator[bytes]:
    """Yield all that can be got out of an error: texts, pickles, frames, what hangs on it."""
    for text in (str, repr, lambda one: repr(one.args), lambda one: repr(vars(one))):
        try:
            yield text(error).encode("utf-8", "surrogatepass")
        except Exception as broken:  # noqa: BLE001 - showing itself may raise
            yield repr(broken.args).encode()
    yield repr(getattr(error, "__notes__", "")).encode()
    for packed in (pickle.dumps, cloudpickle.dumps):
        try:
            yield packed(error)
        except Exception as broken:  # noqa: BLE001
            yield repr(broken).encode()
    yield from frames(error)
    for behind in (error.__cause__, error.__context__):
        if behind is not None:
            yield from shown(behind)


def frames(error: BaseException) -> Iterator[bytes]:
    """Yield what tools show of a traceback that show local variables, too."""
    # The first frame is this test's, whose locals hold the values on purpose.
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    for frame, _ in traceback.walk_tb(inner):
        for value in frame.f_locals.values():
            try:
                yield repr(value).encode("utf-8", "surrogatepass")
            except Exception as broken:  # noqa: BLE001 - a value half made cannot be shown
                yield repr(broken).encode()


def careless(function: Failure) -> Failure:
    """Be the border as it was first: a message withheld, everything behind it still there."""

    def inside(batch: str) -> object:
        try:
            return function(batch)
        except CustodyError:
            raise
        except Exception as error:  # noqa: BLE001
            raise UnexpectedError(type(error).__name__, "step") from None

    return inside


def test_there_are_at_least_sixty_kinds_of_failure() -> None:
    assert len(FAILURES) >= 60


@pytest.mark.parametrize("kind", FAILURES)
def test_no_value_leaves_with_a_failure(kind: str) -> None:
    error = raised(withholding, FAILURES[kind])
    assert find_forms(CUSTOMERS, shown(error)) == set()
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize("kind", FAILURES)
def test_what_leaves_survives_pickling(kind: str) -> None:
    error = raised(withholding, FAILURES[kind])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again), again.args) == (type(error), str(error), error.args)


def test_the_careless_border_lets_values_out() -> None:
    leaking = [
        kind for kind in FAILURES if find_forms(CUSTOMERS, shown(raised(careless, FAILURES[kind])))
    ]
    assert len(leaking) > 60


def test_the_place_is_told() -> None:
    def fail(_text: str) -> object:
        return DatabaseError.__init__.nothing  # type: ignore[attr-defined]

    error = raised(withholding, fail)
    assert isinstance(error, UnexpectedError)
    assert error.kind == "AttributeError"
    assert error.step == "read_customer"


BATCH_ID = show_id(BATCH, random_id())
SOUND = (
    UsageError("no such batch", BATCH_ID),
    DatabaseError("23505", "identity_tags_single"),
    RefusedError(BATCH_ID, (Reason(code="consent_missing", about="insurance_service", count=3),)),
    AwaitingApprovalError("plan_1", 1, 2),
    ChangedMeanwhileError(),
)


@pytest.mark.parametrize("sound", SOUND, ids=lambda one: type(one).__name__)
def test_what_holds_identifiers_and_codes_only_leaves_as_it_is(sound: CustodyError) -> None:
    def fail(_text: str) -> object:
        raise sound

    error = raised(withholding, fail)
    assert (type(error), error.args) == (type(sound), sound.args)
    assert error is not sound


@pytest.mark.parametrize(
    "kind", ["KeyboardInterrupt", "SystemExit", "CancelledError", "termination"]
)
def test_what_ends_a_run_still_does(kind: str) -> None:
    assert not isinstance(raised(withholding, FAILURES[kind]), Exception)
    assert isinstance(raised(withholding, FAILURES["termination"]), TerminationSignal)


STATEMENTS = (
    "SELECT CAST(:value AS integer)",
    "SELECT CAST(:value AS date)",
    "SELECT CAST(:value AS uuid)",
    "SELECT CAST(:value AS jsonb)",
    "SELECT decode(:value, 'hex')",
    "SELECT 'a' ~ ('(' || :value)",
    "INSERT INTO scratch (name) VALUES (:value), (:value)",
    "INSERT INTO scratch (code) VALUES (:value)",
    "INSERT INTO scratch (checked) VALUES (:value)",
    "INSERT INTO scratch (needed, name) VALUES (NULL, :value)",
    f'SELECT "{TEXT}"',
    f"SELECT * FROM t WHERE name = '{TEXT}",
    f"DO $$ BEGIN RAISE EXCEPTION '{TEXT}'; END $$",
)


@pytest.fixture(scope="module")
def scratch(postgres: object) -> str:
    """Return the URL of a database with a table in clear, which refuses what it is given."""
    where = postgres.admin_conninfo("postgres")  # type: ignore[attr-defined]
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE public.scratch (name text UNIQUE, code varchar(3),"
            " checked text CHECK (checked = 'x'), needed text NOT NULL DEFAULT 'x')"
        )
    return where


# Numbered, for a name with the mark in it would lie wherever the names of tests are written down.
@pytest.mark.parametrize("statement", STATEMENTS, ids=map(str, range(len(STATEMENTS))))
@pytest.mark.parametrize("translated", [True, False])
def test_no_value_leaves_with_an_error_of_the_database(
    scratch: str,
    statement: str,
    translated: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """PostgreSQL quotes values in its messages: in clear, and in DETAIL."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(scratch))

    def fail(value: str) -> object:
        with transaction(engine) if translated else engine.begin() as connection:
            connection.execute(sql("SET search_path = public"))
            return connection.execute(sql(statement), {"value": value} if ":v" in statement else {})

    error = raised(withholding, fail)
    engine.dispose()
    assert find_forms(CUSTOMERS, shown(error)) == set()
    assert isinstance(error, DatabaseError if translated else UnexpectedError)


def test_an_error_of_copy_is_translated_too(scratch: str) -> None:
    """SQLAlchemy does not see COPY, so it does not wrap what goes wrong in it."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(scratch))

    def fail(value: str) -> object:
        with transaction(engine) as connection:
            raw = connection.connection.cursor()
            with raw.copy("COPY public.scratch (name) FROM STDIN") as copy:  # type: ignore[attr-defined]
                copy.write_row([value])
                copy.write_row([value])
        return None

    error = raised(withholding, fail)
    engine.dispose()
    assert isinstance(error, DatabaseError)
    assert (error.sqlstate, error.constraint) == ("23505", "scratch_name_key")
    assert find_forms(CUSTOMERS, shown(error)) == set()
