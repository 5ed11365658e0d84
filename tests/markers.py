"""Invented customers whose every value carries a mark that the sweep finds.

All marked values of one kind hold the same eight digits or the same two hanzi; what follows tells
the customers apart. Nobody is meant: the area code does not exist.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sweep import Core

from custody.demo.people import check_character

# 749028 is no district, and 19 begins the year of birth in a resident ID.
CUSTOMERS = Core(digits="74902819", hanzi="㐂𠮷")
PLANTED = Core(digits="83051926", hanzi="䶮𪚥")
PASSWORD = f"pw-{CUSTOMERS.digits}-secret"

HEADER = (
    "客户号,姓名,性别,出生日期,身份证号,手机号,邮箱,地址,银行卡号,"
    "健康告知,社交账号,采集时间,登记日期"
)
CONSENT_HEADER = (
    "身份证号,客户号,目的,同意类型,接收方,同意时间,撤回时间,告知版本,告知时间,控件编号,控件初始状态,"
    "签署文本摘要,动作,监护人,证据编号"
)
_COLLECTED = "2026-03-02T10:00:00+08:00"
_GIVEN = "2026-03-02T09:50:00+08:00"
_SHOWN = "2026-03-02T09:40:00+08:00"


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked:
    """One invented customer."""

    number: int

    @property
    def customer_no(self) -> str:
        return f"K{CUSTOMERS.digits}{self.number:03d}"

    @property
    def name(self) -> str:
        return f"{CUSTOMERS.hanzi}{chr(0x5100 + self.number)}"

    @property
    def birth_on(self) -> date:
        return date(1930, 1, 1) + timedelta(days=97 * self.number)

    @property
    def resident_id(self) -> str:
        body = f"749028{self.birth_on:%Y%m%d}{2 * (self.number % 400):03d}"
        return body + check_character(body)

    @property
    def mobile(self) -> str:
        """Return one of 240 numbers with the eight digits in them."""
        digits, number = CUSTOMERS.digits, self.number
        if number < 100:
            return f"1{digits}{number:02d}"
        return f"1{3 + number % 7}{digits}{number // 7 % 10}" if number < 170 else self._late_mobile

    @property
    def _late_mobile(self) -> str:
        return f"1{3 + self.number % 7}{self.number // 7 % 10}{CUSTOMERS.digits}"

    @property
    def card(self) -> str:
        body = f"62{CUSTOMERS.digits}{self.number:05d}000"
        doubled = (int(digit) * 2 for digit in body[::-2])
        total = sum(one - 9 if one > 9 else one for one in doubled)
        return body + str(-(total + sum(map(int, body[-2::-2]))) % 10)

    @property
    def guardian(self) -> str:
        return f"{CUSTOMERS.hanzi}护{self.number}"

    def text(self, about: str) -> str:
        """Return a marked text."""
        return f"{about}{CUSTOMERS.hanzi}{CUSTOMERS.digits}{self.number:03d}"

    def row(self) -> dict[str, str]:
        """Return the customer's row of a legacy file; every field is marked that can be."""
        values = (
            self.customer_no,
            self.name,
            "女",
            self.birth_on.isoformat(),
            self.resident_id,
            self.mobile,
            f"m{CUSTOMERS.digits}{self.number:03d}@example.com",
            self.text("某市某区") + "号",
            self.card,
            self.text("高血压"),
            f"wx{CUSTOMERS.digits}{self.number}",
            _COLLECTED,
            "2020-05-06",
        )
        return dict(zip(HEADER.split(","), values, strict=True))

    def consents(self) -> list[dict[str, str]]:
        """Return sound consents to every purpose."""
        wanted = (
            ("insurance_service", "purpose", ""),
            ("insurance_service", "sensitive", ""),
            ("customer_care", "purpose", ""),
            ("profiling", "purpose", ""),
            ("partner_service", "purpose", ""),
            ("partner_service", "recipient", "rescue_partner"),
        )
        return [self._consent(*one) for one in wanted]

    def _consent(self, purpose: str, kind: str, recipient: str) -> dict[str, str]:
        values = (
            self.resident_id,
            self.customer_no,
            purpose,
            kind,
            recipient,
            _GIVEN,
            "",
            "2021-11",
            _SHOWN,
            f"app/{purpose}/{kind}",
            "未勾选",
            "ab" * 32,
            "勾选",
            self.guardian,
            f"EV{CUSTOMERS.digits}{self.number:03d}-{purpose}-{kind}",
        )
        return dict(zip(CONSENT_HEADER.split(","), values, strict=True))

    def transaction(self) -> dict[str, str]:
        return {
            "交易号": f"T{CUSTOMERS.digits}{self.number:03d}",
            "客户号": self.customer_no,
            # Every tenth is due: five years are over.
            "交易日期": "2019-05-05" if self.number % 10 == 0 else "2025-05-05",
            "产品": self.text("意外险"),
            "金额": f"{CUSTOMERS.digits}.{self.number % 100:02d}",
            "币种": "CNY",
            "支付账户": self.card,
            "账单地址": self.text("某市"),
        }

    def enquiry(self) -> dict[str, str]:
        return {
            "咨询编号": f"Q{CUSTOMERS.digits}{self.number:03d}",
            "客户号": self.customer_no,
            "咨询时间": "2026-05-05T10:00:00+08:00",
            "渠道": "phone",
            "内容": f"{self.text('来电')} {self.resident_id} {self.mobile} {self.card}",
        }

    def profile(self) -> dict[str, str]:
        return {
            "客户号": self.customer_no,
            "评分日期": "2026-05-05",
            "消费能力": "high",
            "风险等级": "R2",
            "评分": "640",
        }


def spoilt(row: Mapping[str, str], number: int) -> dict[str, str]:
    """Return a row with one defect whose offending value is marked too."""
    digits = CUSTOMERS.digits
    defects = (
        {"身份证号": row["身份证号"][:-1] + ("1" if row["身份证号"][-1] != "1" else "2")},
        {"手机号": f"{digits}1"},
        {"银行卡号": row["银行卡号"][:-1] + str((int(row["银行卡号"][-1]) + 1) % 10)},
        {"邮箱": f"{digits} at example"},
        {"出生日期": f"{CUSTOMERS.hanzi}年"},
        {"性别": CUSTOMERS.hanzi},
        {"采集时间": f"{digits}日"},
        {"姓名": CUSTOMERS.hanzi * 60},
        {"身份证号": f"{CUSTOMERS.hanzi}{digits}"},
    )
    return {**row, **defects[number % len(defects)]}


def write_csv(path: Path, rows: Iterable[Mapping[str, str]], encoding: str) -> Path:
    """Write rows as a legacy system does."""
    rows = list(rows)
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
