"""The quality gate of ingest: Great Expectations judges every chunk, and no value leaves it."""

from custody.quality.check import check_chunk
from custody.quality.engine import QualityFaultError
from custody.quality.verdict import Verdict

__all__ = ["QualityFaultError", "Verdict", "check_chunk"]
