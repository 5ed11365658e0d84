"""The sections of a policy's documents, and the shape of what stands in each."""

from typing import Final

from custody.policy.shapes import (
    DatasetShape,
    FieldShape,
    NoticeShape,
    PurposeShape,
    RecipientShape,
    RoleShape,
    RuleShape,
    ScopeShape,
    SettingsShape,
    Shape,
    SourceShape,
    TextShape,
)
from custody.policy.shapes_quality import ExpectationShape, GateShape, SuiteShape

SHAPES: Final[dict[str, type[Shape]]] = {
    "datasets": DatasetShape,
    "purposes": PurposeShape,
    "notices": NoticeShape,
    "sources": SourceShape,
    "recipients": RecipientShape,
    "roles": RoleShape,
    "rules": RuleShape,
    "gates": GateShape,
    "suites": SuiteShape,
}
"""The sections whose entries have names."""

SINGLES: Final[dict[str, type[Shape]]] = {"settings": SettingsShape, "controller": TextShape}
"""The sections that are one entry each."""

PARTS: Final[dict[str, tuple[str, type[Shape]]]] = {
    "datasets": ("fields", FieldShape),
    "purposes": ("scopes", ScopeShape),
    "suites": ("expectations", ExpectationShape),
}
"""The key of an entry under which named parts lie, each checked on its own."""
