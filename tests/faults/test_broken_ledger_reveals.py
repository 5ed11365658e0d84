"""If the ledger cannot be written, nothing is shown to anybody and no package leaves (T25)."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from breaking import WAYS, everything_in, in_a_thread
from own_databases import Databases

sys.path.append(str(Path(__file__).parents[1] / "database"))
from people_house import SHELL, House, build_house, close_house

from custody.acts.batches import close_batch, open_batch
from custody.acts.lookup import find_customer
from custody.acts.quarantine import reveal_quarantine
from custody.acts.search import fit_indexes, search_customers
from custody.acts.taking import take_chunks
from custody.acts.transfer import decide_transfer, deliver
from custody.acts.use import decide_use, grant_use
from custody.database.engine import DatabaseError
from custody.embedded.postgres import EmbeddedPostgres

PERSON = {
    "customer_no": "K1",
    "name": "王小明",
    "mobile": "13800000001",
    "resident_id": "11010519491231002X",
}
# A signature counts once, also where nothing came of it: whoever signed signs again.
SPENT = {"custody.burnt_statements"}
Act = Callable[[], object]


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path)
    policy = built.custody.policy
    trades = policy.source("legacy_transactions")
    trades = replace(trades, name="trades", purpose="legacy_contract", encoding=None)
    sources = {**policy.sources, "trades": trades}
    built.custody = replace(built.custody, policy=replace(policy, sources=sources))
    yield built
    close_house(built)


def sites(house: House, folder: Path) -> Mapping[str, Act]:
    """Return every way in which information comes to somebody's eyes, ready to be gone."""
    custody = house.custody
    house.store([PERSON])
    asked = house.file(house.ask_use())
    decide_use(custody, SHELL, asked)
    grant = grant_use(custody, SHELL, asked)
    undecided, unread = house.file(house.ask_use()), house.file(house.ask_transfer())
    request, waiting = house.approved(), house.awaiting()
    file = folder / "trades.csv"
    file.write_text("交易号,客户号,交易日期,金额\nT3,K1,昨天,5\n", encoding="utf-8")
    batch = open_batch(custody, SHELL, "trades", str(file))
    take_chunks(custody, SHELL, batch, range(batch.chunks), str(file))
    close_batch(custody, SHELL, batch.id)
    fit_indexes(custody, SHELL)
    return {
        "read": lambda: house.read(grant.id),
        "transfer": lambda: deliver(custody, SHELL, request),
        "quarantine": lambda: reveal_quarantine(custody, SHELL, batch.id),
        "search": lambda: search_customers(
            custody, SHELL, "customers", "mobile", "equality", PERSON["mobile"]
        ),
        "lookup": lambda: find_customer(custody, SHELL, "legacy", {"customer_no": "K1"}),
        "decide a use": lambda: decide_use(custody, SHELL, undecided),
        "decide a transfer": lambda: decide_transfer(custody, SHELL, unread),
        "file": lambda: house.file(house.ask_use()),
        "vote": lambda: house.vote(waiting, "zhao"),
        "hire": lambda: house.hire("new", "business"),
    }


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_shown_and_nothing_is_lost(
    house: House, databases: Databases, postgres: EmbeddedPostgres, tmp_path: Path, way: str
) -> None:
    for name, act in sites(house, tmp_path).items():
        before = everything_in(postgres, databases)
        shown: list[object] = []
        with WAYS[way](postgres, databases):
            house.custody.data.dispose()  # sessions from before know nothing of new settings
            error = in_a_thread(lambda act=act, shown=shown: shown.append(act()))
        house.custody.data.dispose()
        assert isinstance(error, DatabaseError), (name, error)
        assert shown == [], name
        after = everything_in(postgres, databases)
        assert {table for table in before if before[table] != after[table]} <= SPENT, name
        assert not list(house.custody.outbox.glob("req_*")), name
        assert in_a_thread(lambda act=act, shown=shown: shown.append(act())) is None, name
        assert len(shown) == 1, name
        for package in house.custody.outbox.glob("req_*"):
            package.rename(tmp_path / package.name)
