"""Five invented customers of a small firm, with their consents, as files of its legacy system."""

import csv
import io
from collections.abc import Mapping, Sequence

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECKS = "10X98765432"
CONSENTED_AT = "2026-03-01T10:00:00+08:00"
SHOWN_AT = "2026-03-01T09:55:00+08:00"
COLLECTED_AT = "2026-03-01T10:05:00+08:00"
KINDS = (
    ("insurance_service", "purpose", ""),
    ("insurance_service", "sensitive", ""),
    ("partner_service", "recipient", "rescue_partner"),
)
NUMBERS = tuple(f"K90000{number}" for number in range(1, 6))


def resident_id(number: int) -> str:
    """Return a well-formed number of somebody born on 1980-01-0<number>."""
    digits = f"1101011980010{number}001"[:17]
    check = sum(w * int(d) for w, d in zip(WEIGHTS, digits, strict=True)) % 11
    return digits + CHECKS[check]


def customers_csv(numbers: Sequence[int] = range(1, 6), *, broken: int = 5) -> str:
    """Return the customers; that of ``broken`` has a wrong check digit."""
    return _csv([_customer(number, spoilt=number == broken) for number in numbers])


def consents_csv(numbers: Sequence[int] = range(1, 6)) -> str:
    """Return three sound consents of each."""
    return _csv([_consent(number, *kind) for number in numbers for kind in KINDS])


def _customer(number: int, *, spoilt: bool) -> dict[str, str]:
    identity = resident_id(number)
    if spoilt:
        identity = identity[:-1] + ("0" if identity[-1] != "0" else "1")
    return {
        "客户号": f"K90000{number}",
        "姓名": "王小明",
        "性别": "女" if int(identity[16]) % 2 == 0 else "男",
        "出生日期": f"1980-01-0{number}",
        "身份证号": identity,
        "手机号": f"1380000000{number}",
        "社交账号": "wx-unneeded",
        "采集时间": COLLECTED_AT,
    }


def _consent(number: int, purpose: str, kind: str, recipient: str) -> dict[str, str]:
    return {
        "customer_no": f"K90000{number}",
        "resident_id": resident_id(number),
        "purpose": purpose,
        "kind": kind,
        "recipient": recipient,
        "given_at": CONSENTED_AT,
        "notice_version": "2021-11",
        "notice_shown_at": SHOWN_AT,
        "control_id": f"{purpose}-{kind}",
        "control_initial": "unchecked",
        "signed_text_digest": f"{purpose}{kind}".encode().hex().ljust(64, "0")[:64],
        "act": "tick",
    }


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    kept = io.StringIO()
    writer = csv.DictWriter(kept, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return kept.getvalue()
