"""What tests of faults share: an installation of its own for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import Site, founded
from racing import accept_all

from custody.acts.context import Custody
from custody.embedded.postgres import EmbeddedPostgres


@pytest.fixture
def site(
    _templates: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Return a founded installation, whose files all pass the quality gate."""
    accept_all(monkeypatch)
    with founded(_templates, tmp_path) as made:
        yield made


@pytest.fixture
def custody(site: Site) -> Iterator[Custody]:
    """Return that installation, opened."""
    with site.opened() as custody:
        yield custody
