"""Hold every run right after its start is in the ledger, as long as a file in this folder says so.

Python imports this module by itself from the folder that ``PYTHONPATH`` names.
"""

import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

HOLD = Path(__file__).with_name("hold")


class Holding(MetaPathFinder):
    """Finds ``tasks.history`` with a ``begin`` that waits when it is done."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find that module, and leave every other to the finders after this one."""
        if name != "tasks.history":
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_and_hold(module: Any) -> None:
            load(module)
            begin = module.begin

            def begin_and_wait(*args: object) -> None:
                begin(*args)
                while HOLD.exists():
                    time.sleep(0.05)

            module.begin = begin_and_wait

        loader.exec_module = load_and_hold
        return spec


sys.meta_path.insert(0, Holding())
