"""A second opinion on the demo's files: which codes each row deserves, worked out without custody.

It reads the files as a stranger would, with the csv module and openpyxl, and knows the rules only
from the words of the specification. It shares no code with the generator or with the checks.
"""

import csv
import re
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from openpyxl import load_workbook

ZONE = ZoneInfo("Asia/Shanghai")
HEADERS = {
    "客户号": "customer_no",
    "姓名": "name",
    "性别": "sex",
    "出生日期": "birth_on",
    "身份证号": "resident_id",
    "手机号": "mobile",
    "邮箱": "email",
    "地址": "address",
    "银行卡号": "bank_card",
    "健康告知": "health_note",
    "社交账号": "social_account",
    "电话": "phone",
    "采集时间": "collected_at",
    "登记日期": "registered_on",
    "交易号": "transaction_no",
    "交易日期": "occurred_on",
    "产品": "product",
    "金额": "amount",
    "币种": "currency",
    "支付账户": "payment_account",
    "账单地址": "billing_address",
    "咨询编号": "enquiry_no",
    "咨询时间": "asked_at",
    "渠道": "channel",
    "内容": "body",
}
ENCODINGS = {"customers": "gb18030", "transactions": "gb18030", "consents": "utf-8-sig"}
OLD_NOTICE_FIELDS = {"customer_no", "name", "sex", "birth_on", "mobile"}
FULL_WIDTH = str.maketrans("０１２３４５６７８９", "0123456789")
RAGGED = "ragged"

BEYOND = True  # every row of the demo has fields the older notice does not cover


def read_rows(path):
    """Return the data rows as mappings by field; a row of the wrong length is only ``RAGGED``."""
    if path.suffix == ".xlsx":
        header, *rows = load_workbook(path, read_only=True).active.iter_rows(values_only=True)
    else:
        with path.open(encoding=ENCODINGS.get(path.stem, "utf-8"), newline="") as file:
            header, *rows = csv.reader(file)
    names = [HEADERS.get(word, word) for word in header]
    return [
        dict(zip(names, ("" if cell is None else cell for cell in row), strict=True))
        if len(row) == len(names)
        else {RAGGED: True}
        for row in rows
    ]


def id_codes(number):  # noqa: PLR0911 - one return a rule
    """Return what is wrong with a resident ID, and its birth date and sex if it is sound."""
    if not isinstance(number, str):
        return {"numeric_identifier_cell"}, None, None
    text = number.strip().translate(FULL_WIDTH).upper()
    if not text.isascii():
        return {"confusable_character"}, None, None
    if re.fullmatch("[0-9]{15}", text):
        return (
            set(),
            date(1900 + int(text[6:8]), int(text[8:10]), int(text[10:12])),
            int(text[14]) % 2,
        )
    if not re.fullmatch("[0-9]{17}[0-9X]", text):
        return {"resident_id_malformed"}, None, None
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return {"resident_id_date"}, None, None
    # ISO 7064: the sum of digit times 2 to the power of its place from the right is 1 modulo 11.
    digits = [10 if one == "X" else int(one) for one in text]
    if sum(digit << (17 - place) for place, digit in enumerate(digits)) % 11 != 1:
        return {"resident_id_check_digit"}, None, None
    return set(), born, int(text[16]) % 2


def luhn(number):
    """Return whether the check digit of a card is right."""
    digits = [int(one) for one in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def day(text):
    """Return a day, or None where nobody can read one."""
    found = re.fullmatch(r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?", text)
    return date(*map(int, found.groups())) if found else None


def day_codes(text, today):
    if not text:
        return set()
    read = day(text)
    if read is None:
        return {"type_invalid"}
    return {"date_implausible"} if not date(1980, 1, 1) <= read <= today else set()


def missing(row, names):
    return {"required_missing"} if any(not str(row[name]).strip() for name in names) else set()


def control(*texts: str) -> set[str]:
    return (
        {"control_character"} if any(re.search("[\x00-\x08\x0e-\x1f]", t) for t in texts) else set()
    )


def card(number):
    return {"bank_card_check_digit"} if number and not luhn(number) else set()


def customer_codes(row, today):
    """Return the codes against a customer's quality, and the birth date that counts."""
    codes = missing(
        row, ["customer_no", "name", "sex", "birth_on", "resident_id", "mobile", "collected_at"]
    )
    wrong, born, man = id_codes(row["resident_id"])
    declared = day(row["birth_on"])
    if born and born != declared:
        wrong.add("resident_id_birth_mismatch")
    if row["sex"] not in {"男", "女"}:
        wrong.add("value_not_allowed")
    elif man is not None and (row["sex"] == "男") != bool(man):
        wrong.add("resident_id_sex_mismatch")
    if not re.fullmatch("1[3-9][0-9]{9}", row["mobile"].replace("+86 ", "").replace("-", "")):
        wrong.add("mobile_malformed")
    if row["email"] and not re.fullmatch(r"[\w.]+@(\w+\.)+\w+", row["email"]):
        wrong.add("email_malformed")
    if len(row["address"]) > 200:
        wrong.add("text_too_long")
    wrong |= card(row["bank_card"]) | day_codes(row["registered_on"], today) | control(row["name"])
    return codes | wrong, declared


def transaction_codes(row, today):
    codes = missing(row, ["transaction_no", "customer_no", "occurred_on", "amount", "currency"])
    if not re.fullmatch(r"-?\d+(\.\d+)?", row["amount"]):
        codes.add("type_invalid")
    elif not 0.01 <= float(row["amount"]) <= 1e8:
        codes.add("value_out_of_range")
    if row["currency"] not in {"CNY", "USD", "EUR", "HKD"}:
        codes.add("value_not_allowed")
    return (
        codes
        | card(row["payment_account"])
        | day_codes(row["occurred_on"], today)
        | control(row["product"])
    )


def enquiry_codes(row):
    codes = missing(row, ["enquiry_no", "customer_no", "asked_at", "channel", "body"])
    if row["channel"] not in {"phone", "web", "branch", "app"}:
        codes.add("value_not_allowed")
    return codes if instant(row["asked_at"]) else codes | {"type_invalid"}


def profile_codes(row, today):
    codes = missing(row, ["customer_no", "scored_on", "spending_power", "risk_level", "score"])
    if not re.fullmatch(r"-?\d+", row["score"]):
        codes.add("type_invalid")
    elif not 0 <= int(row["score"]) <= 1000:
        codes.add("value_out_of_range")
    if row["spending_power"] not in {"low", "medium", "high"}:
        codes.add("value_not_allowed")
    if not re.fullmatch("R[1-5]", row["risk_level"]):
        codes.add("value_not_allowed")
    return codes | day_codes(row["scored_on"], today)


def instant(text):
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def consent_codes(consent, others, collected_at, fields_beyond_old, now):  # noqa: C901 - a rule a line
    """Return what is wrong with one consent."""
    codes = set()
    given, shown = instant(consent["同意时间"]), instant(consent["告知时间"])
    withdrawn = instant(consent["撤回时间"])
    if consent["动作"] == "silence":
        codes.add("consent_not_explicit")
    if consent["控件初始状态"] == "checked":
        codes.add("consent_pre_ticked")
    if not (consent["控件初始状态"] and consent["控件编号"] and consent["签署文本摘要"]):
        codes.add("consent_evidence_unknown")
    same_act = [
        one
        for one in others
        if one["目的"] != consent["目的"]
        and (one["控件编号"], one["同意时间"]) == (consent["控件编号"], consent["同意时间"])
    ]
    if consent["控件编号"] and same_act:
        codes.add("consent_bundled")
    if withdrawn and withdrawn <= now:
        codes.add("consent_withdrawn")
    if given > collected_at:
        codes.add("consent_after_collection")
    if not shown:
        codes.add("notice_not_shown")
    elif shown > given or shown > collected_at:
        codes.add("notice_after_collection")
    if consent["告知版本"] not in {"2020-01", "2021-11"}:
        codes.add("notice_unknown")
    elif consent["告知版本"] == "2020-01" and fields_beyond_old:
        codes.add("notice_not_covering")
    return codes


def basis_codes(consents, purpose, kinds, collected_at, fields_beyond_old, now):
    """Return what is wrong with the consents to a purpose, of each kind that is needed."""
    absent = {
        "purpose": "consent_missing",
        "sensitive": "separate_consent_missing",
        "guardian": "guardian_consent_missing",
    }
    codes = set()
    for kind in kinds:
        fitting = [one for one in consents if (one["目的"], one["同意类型"]) == (purpose, kind)]
        judged = [
            (
                instant(one["同意时间"]),
                consent_codes(one, consents, collected_at, fields_beyond_old, now),
            )
            for one in fitting
        ]
        if not judged:
            codes.add(absent[kind])
        elif all(wrong for _, wrong in judged):
            codes |= max(judged, key=lambda pair: pair[0])[1]
    return codes


class Oracle:
    """Everything in a folder of demo files, judged."""

    def __init__(self, paths: dict[str, Path], today: date) -> None:
        self.today, self.now = today, datetime.combine(today, time(12), ZONE)
        self.rows = {source: read_rows(path) for source, path in paths.items()}
        self.by_id, self.by_number = defaultdict(list), defaultdict(list)
        for consent in self.rows["legacy_consents"]:
            self.by_id[consent["resident_id"]].append(consent)
            self.by_number[consent["customer_no"]].append(consent)
        self.id_of_number = {
            one["customer_no"]: one["resident_id"] for one in self.rows["legacy_consents"]
        }
        self.number_of_id = {number: one for one, number in self.id_of_number.items()}

    def judge(self) -> dict[str, dict[int, frozenset[str]]]:
        """Return the codes of every row that deserves some, by source and row number."""
        judges = {
            "legacy_customers": ("customer_no", lambda row: self.customer(row, "legacy")),
            "branch_customers": ("customer_no", lambda row: self.customer(row, "branch")),
            "legacy_transactions": ("transaction_no", self.transaction),
            "legacy_enquiries": ("enquiry_no", self.enquiry),
            "legacy_profiles": ("customer_no scored_on", self.profile),
        }
        return {
            source: self.source(self.rows[source], key.split(), judge)
            for source, (key, judge) in judges.items()
        }

    def source(self, rows, key, judge):
        found = {}
        contents = defaultdict(set)
        for row in rows:
            if RAGGED not in row and all(row[name] for name in key):
                contents[tuple(row[name] for name in key)].add(tuple(row.values()))
        for number, row in enumerate(rows, 1):
            codes = {"ragged_row"} if RAGGED in row else judge(row)
            if RAGGED not in row and len(contents[tuple(row[name] for name in key)]) > 1:
                codes = codes | {"duplicate_in_batch"}
            if codes:
                found[number] = frozenset(codes)
        return found

    def customer(self, row, namespace):
        codes, born = customer_codes(row, self.today)
        sound_id = not id_codes(row["resident_id"])[0]
        known_by_id = self.by_id.get(self.plain(row["resident_id"])) if sound_id else None
        known = self.by_number.get(row["customer_no"]) if namespace == "legacy" else None
        consents = (known or known_by_id) or []
        collected_at = instant(row["collected_at"])
        if collected_at:
            kinds = ["purpose", "sensitive"]
            if born > self.today - timedelta(days=14 * 365):
                kinds.append("guardian")
            codes |= basis_codes(
                consents, "insurance_service", kinds, collected_at, BEYOND, self.now
            )
        return codes or self.identity(row, namespace)

    def identity(self, row, namespace):
        if namespace != "legacy":
            return set()
        plain = self.plain(row["resident_id"])
        fits = self.id_of_number.get(row["customer_no"]) == plain
        return (
            set()
            if fits and self.number_of_id[plain] == row["customer_no"]
            else {"identity_conflict"}
        )

    def transaction(self, row):
        codes = transaction_codes(row, self.today)
        return codes or ({"subject_unknown"} if row["customer_no"] not in self.by_number else set())

    def enquiry(self, row):
        codes, asked_at = enquiry_codes(row), instant(row["asked_at"])
        return codes | self.small_basis(row, "customer_care", asked_at)

    def profile(self, row):
        scored_on = datetime.combine(day(row["scored_on"]), time(), ZONE)
        return profile_codes(row, self.today) | self.small_basis(row, "profiling", scored_on)

    def small_basis(self, row, purpose, collected_at):
        if not collected_at:
            return set()
        consents = self.by_number[row["customer_no"]]
        return basis_codes(consents, purpose, ["purpose"], collected_at, BEYOND, self.now)

    @staticmethod
    def plain(number: str) -> str:
        return number.strip().translate(FULL_WIDTH).upper()
