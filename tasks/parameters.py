"""What flows may be given: identifiers, names, dates and choices, checked for the run form."""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from custody.approval import TRANSFER, USE, Ask
from custody.identifiers import CUSTOMER, read_id

_ID = "[0-9a-hjkmnp-tv-z]{26}"
_NAME = r"^[a-z][a-z0-9_]{0,62}$"

# What each is for stands in the docstrings of the flows: that is where Prefect takes the words of
# its run form from, and of these definitions it keeps the pattern alone.
SourceName = Annotated[str, Field(pattern=_NAME)]
BatchId = Annotated[str, Field(pattern=f"^batch_{_ID}$")]
MaybeBatchId = Annotated[str, Field(pattern=f"^(batch_{_ID})?$")]
MaybeRequestId = Annotated[str, Field(pattern=f"^(req_{_ID})?$")]
Period = Annotated[str, Field(pattern=r"^[0-9]{4}Q[1-4]$")]
MaybeSuite = Annotated[str, Field(pattern=r"^([a-z0-9-]{1,40})?$")]
PauseMs = Annotated[int, Field(ge=0, le=60_000)]
MaybePlanId = Annotated[str, Field(pattern=f"^(plan_{_ID})?$")]


class Draft(BaseModel):
    """What a draft of a request says; it counts for nothing until a person signs it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(pattern=_NAME, title="Dataset · 数据集")
    purpose: str = Field(pattern=_NAME, title="Purpose · 目的")
    fields: list[Annotated[str, Field(pattern=_NAME)]] = Field(
        min_length=1, max_length=100, title="Fields · 字段"
    )
    show: Literal["masked", "clear"] = Field(default="masked", title="Shown · 显示方式")
    customers: list[Annotated[str, Field(pattern=f"^cust_{_ID}$")]] = Field(
        default_factory=list,
        max_length=1000,
        title="Customers · 客户",
        description="cust_… identifiers; empty for all. · cust_… 编号;全部则留空。",
    )
    days: int = Field(default=7, ge=1, le=366, title="Days it lasts · 有效天数")

    def until(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Return the end of the last day the request lasts."""
        last = now.astimezone(zone).date() + timedelta(days=self.days)
        return datetime.combine(last, time.min, zone).astimezone(UTC)

    def common(self, now: datetime, zone: ZoneInfo) -> dict[str, object]:
        """Return what every ask says."""
        chosen = tuple(read_id(CUSTOMER, one) for one in self.customers)
        return {
            "dataset": self.dataset,
            "purpose": self.purpose,
            "fields": dict.fromkeys(self.fields, self.show),
            "until": self.until(now, zone),
            "customers": chosen or None,
        }


class UseDraft(Draft):
    """A draft of a use · 使用申请草稿."""

    def ask(self, now: datetime, zone: ZoneInfo) -> Ask:
        """Return the ask it comes to."""
        return Ask(kind=USE, **self.common(now, zone))  # type: ignore[arg-type]


class TransferDraft(Draft):
    """A draft of a transfer · 传输申请草稿."""

    recipient: str = Field(pattern=_NAME, title="Recipient · 接收方")
    form: Literal["csv", "xlsx"] = Field(default="csv", title="Form · 格式")

    def ask(self, now: datetime, zone: ZoneInfo) -> Ask:
        """Return the ask it comes to."""
        common = self.common(now, zone)
        return Ask(kind=TRANSFER, recipient=self.recipient, form=self.form, **common)  # type: ignore[arg-type]
