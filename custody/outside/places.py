"""Where an installation's checkpoints are kept."""

from dataclasses import dataclass
from pathlib import Path

from custody.outside.journal import Journal
from custody.outside.witness_client import WitnessPlace


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """What is kept outside the database: the files, and a witness where there is one."""

    journal: Journal
    witness: WitnessPlace | None = None


def in_folders(everything: Path, keys: Path, witness: WitnessPlace | None = None) -> Outside:
    """Return where checkpoints lie: all of them in one folder, the last beside the keystore."""
    journal = Journal(everything=everything / "ledger.notes", last=keys / "checkpoint.note")
    return Outside(journal=journal, witness=witness)
