"""The example policy says what the firm means, and a new dataset needs nothing but YAML."""

import hashlib
import json
import re
import statistics
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from custody.codes import CODES
from custody.errors import EXIT_USAGE, UsageError
from custody.policy.load import load_policy
from custody.policy.model import (
    ACTIONS,
    CONSENT_FIELDS,
    Category,
    FieldType,
    Level,
    Policy,
    UnknownNameError,
)
from custody.policy.parse import parse_policy
from custody.policy.show import render_policy
from custody.policy.template import TEMPLATES, template_documents, write_template
from custody.sources.consents import consents_dataset

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "policy"

PARCELS = """
datasets:
  parcels:
    title: {zh: 包裹, en: Parcels}
    creates_customer: true
    record_key: [parcel_no]
    references:
      locker_no: {field: locker_no, namespaced: true, single: true}
    collected_at_field: dropped_at
    fields:
      parcel_no: {number: 1, title: {zh: 包裹号, en: Parcel}, type: text, category: transaction,
                  level: general, jrt_class: C1, mask: none}
      locker_no: {number: 7, title: {zh: 柜号, en: Locker}, type: text, category: basic_identity,
                  level: general, jrt_class: C1, aliases: [柜号, Locker No]}
      dropped_at: {number: 3, title: {zh: 投递时间, en: Dropped}, type: instant,
                   category: transaction, level: general, jrt_class: C1}
      weight: {number: 4, title: {zh: 重量, en: Weight}, type: decimal, category: transaction,
               level: general, jrt_class: C1, minimum: 0.001, maximum: 30}
purposes:
  parcel_delivery:
    title: {zh: 派件, en: Delivery}
    legal_basis: contract
    scopes:
      parcels:
        required: [parcel_no, locker_no, dropped_at]
        retention: {period: P18M, basis: P19, start_field: dropped_at}
sources:
  lockers:
    title: {zh: 快递柜, en: Lockers}
    kind: csv
    dataset: parcels
    namespace: lockers
    purpose: parcel_delivery
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(EXAMPLE)


def test_the_datasets_keep_their_field_numbers(policy: Policy) -> None:
    numbers = {
        name: [field.name for field in sorted(one.fields, key=lambda field: field.number)]
        for name, one in policy.datasets.items()
    }
    assert numbers == {
        "customers": [
            "customer_no", "name", "sex", "birth_on", "resident_id", "mobile", "email", "address",
            "bank_card", "health_note", "social_account", "phone", "collected_at", "registered_on",
        ],
        "transactions": [
            "transaction_no", "customer_no", "occurred_on", "product", "amount", "currency",
            "payment_account", "billing_address",
        ],
        "enquiries": ["enquiry_no", "customer_no", "asked_at", "channel", "body"],
        "profiles": ["customer_no", "scored_on", "spending_power", "risk_level", "score"],
    }  # fmt: skip
    assert policy.dataset("customers").by_number(5).name == "resident_id"


def test_every_field_has_a_column_name_in_chinese_and_in_english(policy: Policy) -> None:
    for dataset in policy.datasets.values():
        for field in dataset.fields:
            names = (field.name, *field.aliases)
            assert any(re.search("[\u4e00-\u9fff]", name) for name in names), field.name
            assert any(name.isascii() for name in names), field.name
            assert all(dataset.by_column(name) == field for name in names), field.name


def test_a_column_is_found_whatever_its_width_case_and_spaces(policy: Policy) -> None:
    customers = policy.dataset("customers")
    for header in ("手机号", " 手机 号", "MOBILE number", "ｍｏｂｉｌｅ"):
        field = customers.by_column(header)
        assert field is not None
        assert field.name == "mobile"
    assert customers.by_column("shoe size") is None


def test_sensitive_fields_are_sealed_apart(policy: Policy) -> None:
    levels = {
        (dataset.name, field.name): field.level
        for dataset in policy.datasets.values()
        for field in dataset.fields
        if field.level is not Level.GENERAL
    }
    assert levels == {
        ("customers", "resident_id"): Level.SENSITIVE,
        ("customers", "bank_card"): Level.SENSITIVE,
        ("customers", "health_note"): Level.SECRET,
        ("transactions", "payment_account"): Level.SENSITIVE,
    }
    assert [level.rank for level in Level] == [0, 1, 2]


def test_what_no_purpose_needs_is_in_no_scope(policy: Policy) -> None:
    needed = {
        name
        for purpose in policy.purposes.values()
        if "customers" in purpose.scopes
        for name in purpose.scope("customers").fields
    }
    assert policy.dataset("customers").field_names - needed == {"social_account"}


def test_the_amount_has_its_range_and_the_code_its_synonyms(policy: Policy) -> None:
    amount = policy.dataset("transactions").field("amount")
    assert (amount.minimum, amount.maximum) == (Decimal("0.01"), Decimal(100000000))
    sex = policy.dataset("customers").field("sex")
    assert (sex.type, sex.values, sex.synonyms["女"]) == (FieldType.CODE, ("M", "F"), "F")
    assert policy.dataset("profiles").field("score").category is Category.DERIVED


def test_purposes_have_their_basis_consents_and_retention(policy: Policy) -> None:
    service = policy.purpose("insurance_service")
    assert service.needs_consent
    assert service.consent_kinds == {"purpose", "sensitive"}
    retention = policy.scope("contract_performance", "transactions").retention
    assert (retention.period, retention.start_field, retention.start_event) == (
        "P5Y", "occurred_on", None,
    )  # fmt: skip
    assert not policy.purpose("legacy_contract").needs_consent
    assert service.scope("customers").retention.start_event == "relationship_ended"


def test_contracts_run_on_both_their_first_and_last_day(policy: Policy) -> None:
    contract = policy.recipient("expired_partner").contract
    assert contract.in_force(contract.valid_from)
    assert contract.in_force(contract.valid_to)
    assert not contract.in_force(date(2025, 1, 1))
    assert policy.recipient("overseas_partner").country == "SG"


def test_every_rule_a_code_rests_on_is_in_the_policy(policy: Policy) -> None:
    warned = {"ID"}
    assert {code.rule for code in CODES.values()} - warned <= set(policy.rules)


def test_every_rule_the_stages_need_is_in_the_policy(policy: Policy) -> None:
    needed = [f"P{number}" for number in (*range(13, 20), *range(21, 26), 28, 29, 31, 38, 39, 40)]
    needed += ["P41", "P47", "P55", "P56", "P57", "P69", "N12", "K1", "K2", "G1", "G3", "S1"]
    needed += ["S2", "R1", "H1.2", "H1.3a", "H1.3b", "H1.3c", "H2.1", "H2.2", "H2.3", "H2.3e"]
    needed += ["H2.4a", "H2.4b", "H2.4c", "H2.4d", "H2.4e", "H3", *(f"X{n}" for n in range(1, 9))]
    assert set(needed) <= set(policy.rules)


def test_only_rules_that_were_read_block(policy: Policy) -> None:
    blocking = {rule.evidence for rule in policy.rules.values() if rule.mode == "block"}
    assert blocking == {"H", "S", "Q"}
    assert policy.rule("X8").in_force(date(2026, 1, 1))
    assert not policy.rule("X8").in_force(date(2025, 12, 31))


def test_roles_together_may_do_everything_and_the_auditor_nothing(policy: Policy) -> None:
    assert frozenset().union(*(role.may for role in policy.roles.values())) == ACTIONS
    assert policy.role("auditor").may == frozenset()


def test_consent_columns_are_those_the_reader_knows(policy: Policy) -> None:
    references = {one.name for data in policy.datasets.values() for one in data.references}
    assert consents_dataset(policy).field_names == CONSENT_FIELDS | references


def test_no_source_says_where_a_database_is(policy: Policy) -> None:
    located = {one.location for one in policy.sources.values() if one.kind == "sql"}
    assert located == {"${CUSTODY_CHINOOK_URL}"}
    assert "://" not in "".join(policy.documents.values())


def test_an_unknown_name_says_which_kind_and_name(policy: Policy) -> None:
    lookups = (
        lambda: policy.dataset("x"), lambda: policy.purpose("x"), lambda: policy.source("x"),
        lambda: policy.recipient("x"), lambda: policy.role("x"), lambda: policy.rule("x"),
        lambda: policy.notice("x"), lambda: policy.dataset("customers").field("x"),
        lambda: policy.scope("profiling", "customers"),
        lambda: policy.dataset("customers").by_number(99),
    )  # fmt: skip
    for lookup in lookups:
        with pytest.raises(UnknownNameError) as caught:
            lookup()
        assert (caught.value.exit_code, caught.value.code) == (EXIT_USAGE, "unknown_reference")


def test_the_digest_is_that_of_the_documents_canonical_json(policy: Policy) -> None:
    text = json.dumps(
        dict(policy.documents), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    assert policy.digest == hashlib.sha256(text.encode()).hexdigest()
    assert set(policy.documents) == {
        path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.rglob("*.yaml")
    }


def test_any_change_of_a_document_changes_the_digest(policy: Policy) -> None:
    changed = {**policy.documents, "roles.yaml": policy.documents["roles.yaml"] + "# signed\n"}
    assert parse_policy(changed).digest != policy.digest
    reordered = dict(reversed(policy.documents.items()))
    assert parse_policy(reordered).digest == policy.digest


def test_a_notice_is_bound_to_its_words(policy: Policy) -> None:
    purposes = policy.documents["purposes.yaml"]
    changed = {**policy.documents, "purposes.yaml": purposes.replace("To insure you", "To sell")}
    other = parse_policy(changed)
    assert other.notice("2021-11").text_sha256 != policy.notice("2021-11").text_sha256
    assert other.notice("2020-01").text_sha256 == policy.notice("2020-01").text_sha256


def test_a_dataset_of_ones_own_is_yaml_only(policy: Policy) -> None:
    grown = parse_policy({**policy.documents, "parcels.yaml": PARCELS})
    parcels = grown.dataset("parcels")
    assert parcels.by_number(7).name == "locker_no"
    assert parcels.references[0].namespaced
    assert grown.scope("parcel_delivery", "parcels").retention.period == "P18M"
    assert grown.source("lockers").namespace == "lockers"
    assert grown.dataset("customers") == policy.dataset("customers")


def test_loading_takes_less_than_a_third_of_a_second() -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        load_policy(EXAMPLE)
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.3


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_a_sound_policy_of_its_own(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    written = write_template(name, folder)
    policy = load_policy(folder)
    assert {path.relative_to(folder).as_posix() for path in written} == set(policy.documents)
    assert all("#" in text for text in policy.documents.values())


def test_the_insurers_template_is_the_example_and_the_retailers_is_not(policy: Policy) -> None:
    assert template_documents("insurer") == policy.documents
    retail = parse_policy(template_documents("retail"))
    assert set(retail.datasets) == {"members", "orders", "service_tickets"}
    assert "K1" not in retail.rules
    assert retail.rule("P13") == policy.rule("P13")


def test_a_template_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError):
        write_template("retail", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["roles.yaml"]
    assert (tmp_path / "roles.yaml").read_text(encoding="utf-8") == "mine"


def test_an_unknown_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_template("casino", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_policy_is_shown_as_tables(policy: Policy, lang: str) -> None:
    tables = render_policy(policy, lang)
    for section, rows in tables.items():
        assert rows, section
        assert len({tuple(row) for row in rows}) == 1, section
        assert all(isinstance(value, str) for row in rows for value in row.values())
    assert len(tables["fields"]) == sum(len(one.fields) for one in policy.datasets.values())
    assert tables["policy"][0]["digest"] == policy.digest
    assert {row["rule"] for row in tables["rules"]} == set(policy.rules)
    assert (tables["datasets"][0]["title"] == "客户") is (lang == "zh")
