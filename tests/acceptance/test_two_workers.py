"""Two Prefect worker services share one batch and make the database that one process makes.

Each service takes one run at a time, so two runs of the same batch at once are in two of them. What
they did is in the ledger, which names the run of each chunk.
"""

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from running_stack import Stack, in_this_process
from standing_firm import wait_until
from worker_services import Services, services

from config.installation import now
from custody.acts.batches import open_batch
from custody.acts.context import Custody
from custody.database.batches import Batch, claim_chunk
from custody.database.engine import transaction
from custody.database.ledger import entries_of
from custody.demo.agreements import CONSENT_COLUMNS, NOTHING_MORE, consent_rows
from custody.demo.people import World, make_person
from custody.demo.rows import CUSTOMER_COLUMNS, Row, customer_row
from custody.demo.writers import CsvWriter
from custody.embedded.postgres import EmbeddedPostgres
from custody.identifiers import BATCH, show_id

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from fingerprint import fingerprint
from house import TESTER, ZONE, Site, copied, founded, take_in

pytestmark = pytest.mark.slow
STAGES = ("ingest", "store")
PEOPLE, CHUNK_ROWS = 60, 11
STRANGERS = range(30, 33)  # nobody consented
CONTRADICTED = 9  # a later row says something else
REPEATED = range(3)
LOST = (CONTRADICTED, *STRANGERS)
MOST_MEGABYTES = 500


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What one process made and what two services made, and who did what of it.

    Attributes:
        chunks: How many chunks each stage did in each of the two runs.
        workers: Which worker services executed the two runs of each stage.
        megabytes: The most that the service of each run held, and the run's own process.
    """

    by_one: Mapping[str, object]
    by_two: Mapping[str, object]
    chunks: Mapping[str, Sequence[int]]
    workers: Mapping[str, set[int]]
    megabytes: Sequence[tuple[float, float]]


class Kept:
    """All chunks of a batch, kept back until both runs are there, then handed out.

    A chunk of store is done in less time than passes between two looks at what is left, so
    without it the first to look would now and then have done everything.
    """

    def __init__(self, custody: Custody, batch: Batch, stage: str, claims: ExitStack) -> None:
        self._custody, self._batch, self._stage = custody, batch, stage
        self._claims = [self._claimed(number, claims) for number in range(batch.chunks)]

    def hand_out(self, runs: Sequence[str]) -> None:
        """Let go of two chunks, then one by one until each run did some, then of the others."""
        self._let_go(2, runs)
        while self._claims and not min(self.done_by(runs)):
            self._let_go(1, runs)
        self._let_go(len(self._claims), runs)

    def done_by(self, runs: Sequence[str]) -> list[int]:
        """Return how many chunks each of the runs did; nobody else did any."""
        event = f"chunk:{self._stage}:completed"
        with transaction(self._custody.data) as connection:
            entries = entries_of(connection, [event])
        batch = show_id(BATCH, self._batch.id)
        bodies = [json.loads(one.body) for one in entries]
        did = Counter(one["run"] for one in bodies if one["facts"]["batch"] == batch)
        assert set(did) <= set(runs)
        return [did[run] for run in runs]

    def _claimed(self, number: int, claims: ExitStack) -> ExitStack:
        claim = claims.enter_context(ExitStack())
        connection = claim.enter_context(transaction(self._custody.data))
        assert claim_chunk(connection, self._batch.id, number, self._stage)
        return claim

    def _let_go(self, count: int, runs: Sequence[str]) -> None:
        """Let go of so many chunks and wait until they are done."""
        for claim in self._claims[:count]:
            claim.close()
        del self._claims[:count]
        wanted = self._batch.chunks - len(self._claims)
        wait_until(lambda: sum(self.done_by(runs)), wanted.__eq__, pause=0.01)


@pytest.fixture(scope="module")
def shared(
    stack: Stack,
    _templates: EmbeddedPostgres,
) -> Iterator[Shared]:
    folder = Path(tempfile.mkdtemp(prefix="cus-"))
    try:
        with founded(_templates, folder, clock=now) as one:
            consents, customers = write_files(folder)
            with one.opened(now, chunk_rows=10_000) as custody:
                take_in(custody, "legacy_consents", consents)
            with copied(_templates, one, folder) as two:
                yield work(stack, folder, customers, one, two)
    finally:
        shutil.rmtree(folder)


def write_files(folder: Path) -> tuple[Path, Path]:
    """Write everybody's consents, and their records, of which some are refused or repeat."""
    world = World(seed=5, today=now().date(), zone=ZONE)
    people = [make_person(world, index, minor=False) for index in range(PEOPLE)]
    records = [customer_row(one, one.customer_no) for one in people]
    again = [records[index] for index in REPEATED]
    other = {**records[CONTRADICTED], "address": "另一处"}
    agreed = (one for index, one in enumerate(people) if index not in STRANGERS)
    given = (
        row for one in agreed for row in consent_rows(world, one, one.customer_no, NOTHING_MORE)
    )
    return (
        _written(folder / "consents.csv", CONSENT_COLUMNS, "utf-8", given),
        _written(folder / "customers.csv", CUSTOMER_COLUMNS, "gb18030", [*records, *again, other]),
    )


def _written(path: Path, columns: Mapping[str, str], encoding: str, rows: Iterable[Row]) -> Path:
    with CsvWriter(path, columns, encoding) as writer:
        for row in rows:
            writer.write(row, ())
    return path


def work(stack: Stack, folder: Path, customers: Path, one: Site, two: Site) -> Shared:
    """Ingest and store the same file, in this process there, by two worker services here."""
    batches = {site: _opened(site, customers) for site in (one, two)}
    chunks, workers, megabytes = {}, {}, []
    with in_this_process(stack, _variables(one, folder)):
        _run_both_flows(batches[one])
    with services(stack, 2, _variables(two, folder)) as running:
        for stage in STAGES:
            chunks[stage], runs = _share(running, two, batches[two], stage)
            workers[stage] = {running.worker_of(run) for run in runs}
            megabytes += [running.megabytes(run) for run in runs]
    with one.opened(now) as custody:
        by_one = fingerprint(custody)
    with two.opened(now) as custody:
        by_two = fingerprint(custody)
    return Shared(by_one=by_one, by_two=by_two, chunks=chunks, workers=workers, megabytes=megabytes)


def _run_both_flows(batch: Batch) -> None:
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.store import store  # noqa: PLC0415

    shown = show_id(BATCH, batch.id)
    ingest(batch.source, shown)
    store(shown)


def _share(
    running: Services, site: Site, batch: Batch, stage: str
) -> tuple[Sequence[int], Sequence[str]]:
    """Run a stage twice at once and return how many chunks each run did, and the runs."""
    parameters = {"batch_id": show_id(BATCH, batch.id)}
    if stage == "ingest":
        parameters["source"] = batch.source
    with site.opened(now) as custody, ExitStack() as claims:
        kept = Kept(custody=custody, batch=batch, stage=stage, claims=claims)
        runs = [running.start(stage, **parameters) for _ in range(2)]
        running.at_step(f"{stage}_span", runs)
        kept.hand_out(runs)
        for run in runs:
            running.completed(run)
        return kept.done_by(runs), runs


def _opened(site: Site, customers: Path) -> Batch:
    with site.opened(now, chunk_rows=CHUNK_ROWS) as custody:
        return open_batch(custody, TESTER, "legacy_customers", str(customers))


def _variables(site: Site, folder: Path) -> dict[str, str]:
    """Return the variables of an installation, whose keys lie where those of a home do."""
    home = folder / f"home-{site.folder.name}"
    home.mkdir(mode=0o700)
    (home / "keys").symlink_to(site.folder)
    return {
        "CUSTODY_HOME": str(home),
        "CUSTODY_DATABASE_URL": site.databases.app_url,
        "CUSTODY_KEYS_URL": site.databases.keys_url,
        "CUSTODY_PROCESSES": "1",  # no helpers: what is shared here is shared by worker services
    }


def test_two_worker_services_make_the_database_that_one_process_makes(shared: Shared) -> None:
    for part in shared.by_one:
        assert shared.by_two[part] == shared.by_one[part], part
    assert len(shared.by_two["records"]) == PEOPLE - len(LOST)  # type: ignore[arg-type]


def test_both_worker_services_did_some_of_each_stage(shared: Shared) -> None:
    for stage in STAGES:
        assert len(shared.workers[stage]) == 2, stage
        assert min(shared.chunks[stage]) > 0, (stage, shared.chunks[stage])


def test_no_worker_service_holds_more_memory_than_it_may(shared: Shared) -> None:
    """A service and the process of its run, each at its peak; helpers would come on top."""
    assert len(shared.megabytes) == 2 * len(STAGES)
    for service, run in shared.megabytes:
        assert service + run <= MOST_MEGABYTES
