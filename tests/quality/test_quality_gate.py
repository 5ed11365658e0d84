"""The quality gate: exact codes per row, faults that are no verdicts, and not one value outside."""

import json
import logging
import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import great_expectations
import pytest
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from small_catalogue import SHANGHAI, customers, field

from custody.normalise import normalise_rows
from custody.policy.model import Dataset, FieldType, Retention, Scope
from custody.policy.parse import parse_policy
from custody.policy.template import template_documents
from custody.quality import QualityFaultError, Verdict, check_chunk, engine, suite
from custody.quality.rules import generated_checks
from custody.resident_id import check_character
from custody.rows import NumericCell, RawRow, RawValue

TODAY = date(2026, 11, 24)
REQUIRED = frozenset({"customer_no", "name", "sex", "birth_on", "resident_id", "mobile"})
SOUND: dict[str, RawValue] = {
    "customer_no": "C1",
    "name": "王小明",
    "sex": "女",
    "birth_on": "1949-12-31",
    "resident_id": "11010519491231002X",
    "mobile": "13812345678",
    "email": "wang@example.com",
    "address": "江西省九江市濂溪区十里大道1号",
    "bank_card": "4111111111111111",
    "health_note": "无",
    "phone": "0792-8123456",
    "collected_at": "2024-01-02 10:00:00",
    "registered_on": "2024-01-02",
}
POLICY = parse_policy(template_documents("insurer"))


def scope(dataset: Dataset, required: frozenset[str] = REQUIRED) -> Scope:
    """Return a scope that needs every field and requires some."""
    return Scope(
        required=required,
        optional=dataset.field_names - required,
        retention=Retention(period="P5Y", basis="K1", start_event="relationship_ended"),
    )


def judge(*rows: dict[str, RawValue] | RawRow, dataset: Dataset | None = None) -> Verdict:
    """Judge rows that differ from the sound one as given; each has a customer number of its own."""
    dataset = dataset or customers()
    raw = [
        row
        if isinstance(row, RawRow)
        else RawRow(number=place, values={**SOUND, "customer_no": f"C{place}", **row})
        for place, row in enumerate(rows, start=1)
    ]
    return check_chunk(
        POLICY, dataset, scope(dataset), normalise_rows(dataset, raw, SHANGHAI), today=TODAY
    )


def number(first: str) -> str:
    """Return the resident ID that begins with these seventeen digits."""
    return first + check_character(first)


DEFECTS: dict[str, tuple[dict[str, RawValue], str]] = {
    "customer number missing": ({"customer_no": ""}, "required_missing"),
    "name blank": ({"name": " \u3000 "}, "required_missing"),
    "name with a control character": ({"name": "王\x07"}, "control_character"),
    "name was decoded wrongly": ({"name": "\ufffd\ufffd"}, "undecodable_text"),
    "name too long": ({"name": "王" * 21}, "text_too_long"),
    "sex not listed": ({"sex": "未知"}, "value_not_allowed"),
    "sex in Cyrillic": ({"sex": "\u041c"}, "confusable_character"),
    "birth date unreadable": ({"birth_on": "long ago"}, "type_invalid"),
    "birth date never was": ({"birth_on": "1949-02-30"}, "date_implausible"),
    "birth date in the future": ({"birth_on": "2026-11-25"}, "date_implausible"),
    "birth date before memory": ({"birth_on": "1849-12-31"}, "date_implausible"),
    "birth date another": ({"birth_on": "1949-12-30"}, "resident_id_birth_mismatch"),
    "sex another": ({"sex": "男"}, "resident_id_sex_mismatch"),
    "id missing": ({"resident_id": None}, "required_missing"),
    "id too short": ({"resident_id": "1101051949123100"}, "resident_id_malformed"),
    "id of a day that never was": (
        {"resident_id": number("11010519490230002")},
        "resident_id_date",
    ),
    "id of a day to come": ({"resident_id": number("11010520270101002")}, "resident_id_date"),
    "id with another check character": (
        {"resident_id": "110105194912310021"},
        "resident_id_check_digit",
    ),
    "id of somebody else's day and a wrong check": (
        {"resident_id": "110105194812310020"},
        "resident_id_check_digit",
    ),
    "id with a look-alike": ({"resident_id": "11010519491231002\u0425"}, "confusable_character"),
    "id from a numeric cell": (
        {"resident_id": NumericCell(text="110105194912310000")},
        "numeric_identifier_cell",
    ),
    "mobile too short": ({"mobile": "1381234567"}, "mobile_malformed"),
    "email without at": ({"email": "wang.example.com"}, "email_malformed"),
    "card with another check digit": ({"bank_card": "4111111111111112"}, "bank_card_check_digit"),
    "card too short": ({"bank_card": "4111"}, "format_invalid"),
    "card from a numeric cell": (
        {"bank_card": NumericCell(text="4111111111111111")},
        "numeric_identifier_cell",
    ),
    "collected in the future": ({"collected_at": "2026-11-26 09:00"}, "date_implausible"),
    "collected at no time": ({"collected_at": "noon"}, "type_invalid"),
    "registered in the future": ({"registered_on": "2999-01-01"}, "date_implausible"),
}


@pytest.fixture(scope="module")
def all_defects() -> Verdict:
    """Judge every defect alone, each in a row of its own, after a row that has none."""
    return judge({}, *(changes for changes, _ in DEFECTS.values()))


@pytest.mark.parametrize("name", list(DEFECTS))
def test_a_defect_has_exactly_its_code(all_defects: Verdict, name: str) -> None:
    row = list(DEFECTS).index(name) + 2
    assert all_defects.blocking[row] == {DEFECTS[name][1]}


def test_a_sound_row_has_no_code(all_defects: Verdict) -> None:
    assert 1 not in all_defects.blocking
    assert 1 not in all_defects.warnings


# Whatever hides the resident ID, the birth date or the sex also hides what is said between them.
_HIDDEN_BY = {
    "birth date another": {"resident_id", "birth_on"},
    "sex another": {"resident_id", "sex"},
}


def _independent(one: str, other: str) -> bool:
    first, second = DEFECTS[one][0].keys(), DEFECTS[other][0].keys()
    hidden = _HIDDEN_BY.get(one, set()) & set(second) | _HIDDEN_BY.get(other, set()) & set(first)
    return not (set(first) & set(second) or hidden)


def test_two_defects_in_one_row_give_both_codes_and_no_third() -> None:
    pairs = [pair for pair in combinations(DEFECTS, 2) if _independent(*pair)]
    assert len(pairs) > 250
    verdict = judge(*(DEFECTS[one][0] | DEFECTS[other][0] for one, other in pairs))
    for row, (one, other) in enumerate(pairs, start=1):
        assert verdict.blocking[row] == {DEFECTS[one][1], DEFECTS[other][1]}, (one, other)


def test_an_unsound_id_is_compared_with_nothing() -> None:
    verdict = judge({"resident_id": "110105194912310021", "sex": "男", "birth_on": "1950-01-01"})
    assert verdict.blocking == {1: {"resident_id_check_digit"}}


def test_a_row_that_is_not_trusted_has_the_codes_of_the_row_only() -> None:
    ragged = RawRow(number=9, values={"name": "x"}, problems=("ragged_row",))
    assert judge({}, ragged).blocking == {9: {"ragged_row"}}


def test_all_rows_of_one_record_key_are_named_and_missing_keys_are_not_alike() -> None:
    verdict = judge(
        {"customer_no": "A"},
        {"customer_no": "Ａ ", "name": "李四"},
        {"customer_no": "B"},
        {"customer_no": ""},
        {"customer_no": None},
        {"customer_no": "A", "name": "王五"},
    )
    duplicate, missing = {"duplicate_in_batch"}, {"required_missing"}
    assert verdict.blocking == {1: duplicate, 2: duplicate, 6: duplicate, 4: missing, 5: missing}


def profiles() -> Dataset:
    """Return a dataset whose record key has two parts."""
    return Dataset(
        name="profiles",
        title={"zh": "画像", "en": "Profiles"},
        creates_customer=False,
        record_key=("customer_no", "scored_on"),
        references=(),
        fields=(
            field("customer_no", 1),
            field("scored_on", 2, type=FieldType.DATE),
            replace(field("score", 5, type=FieldType.INTEGER), **_range("0", "1000")),
            replace(field("amount", 6, type=FieldType.DECIMAL), **_range("0.01", "0.3")),
        ),
    )


def _range(lowest: str, highest: str) -> dict[str, object]:
    return {"minimum": Decimal(lowest), "maximum": Decimal(highest)}


def _profile(*rows: tuple[str, str, str, str]) -> Verdict:
    dataset = profiles()
    names = ("customer_no", "scored_on", "score", "amount")
    raw = [
        RawRow(number=place, values=dict(zip(names, row, strict=True)))
        for place, row in enumerate(rows, start=1)
    ]
    wanted = scope(dataset, frozenset({"customer_no", "scored_on", "score"}))
    return check_chunk(POLICY, dataset, wanted, normalise_rows(dataset, raw, SHANGHAI), today=TODAY)


def test_a_key_of_two_parts_is_unique_as_a_whole() -> None:
    verdict = _profile(
        ("C1", "2024-01-01", "1", ""),
        ("C1", "2024-01-02", "1", ""),
        ("C2", "2024-01-01", "1", ""),
        ("C1", "2024/1/1", "2", ""),
        ("C1", "", "2", ""),
    )
    duplicate = {"duplicate_in_batch"}
    assert verdict.blocking == {1: duplicate, 4: duplicate, 5: {"required_missing"}}


def test_a_range_includes_both_its_ends_exactly() -> None:
    verdict = _profile(
        ("C1", "2024-01-01", "0", "0.01"),
        ("C2", "2024-01-01", "1000", "0.30"),
        ("C3", "2024-01-01", "-1", "0.0099"),
        ("C4", "2024-01-01", "1001", "0.3000001"),
        ("C5", "2024-01-01", "9999999999999999999", "1"),
        ("C6", "2024-01-01", "12.5", "x"),
    )
    outside = {"value_out_of_range"}
    assert verdict.blocking == {3: outside, 4: outside, 5: outside, 6: {"type_invalid"}}


def test_a_field_may_only_warn() -> None:
    verdict = judge({"phone": "call me"}, {"resident_id": number("99010519491231002")})
    assert verdict.blocking == {}
    assert verdict.warnings == {1: {"format_invalid"}, 2: {"area_code_unknown"}}


def test_what_the_purpose_does_not_need_is_not_judged() -> None:
    dataset = customers()
    needed = Scope(
        required=frozenset({"customer_no", "name"}),
        optional=frozenset(),
        retention=Retention(period="P5Y", basis="K1", start_event="relationship_ended"),
    )
    raw = [RawRow(number=1, values={**SOUND, "email": "broken", "resident_id": "broken"})]
    rows = normalise_rows(dataset, raw, SHANGHAI, needed.fields)
    assert check_chunk(POLICY, dataset, needed, rows, today=TODAY).blocking == {}


def test_today_is_the_last_plausible_day_and_an_instant_has_the_zone_s_day() -> None:
    late = datetime(2026, 11, 24, 23, 59, tzinfo=SHANGHAI)
    verdict = judge(
        {"registered_on": TODAY.isoformat(), "collected_at": late.isoformat()},
        {"registered_on": (TODAY + timedelta(days=1)).isoformat()},
        {"collected_at": datetime(2026, 11, 26, tzinfo=UTC).isoformat()},
    )
    implausible = {"date_implausible"}
    assert verdict.blocking == {2: implausible, 3: implausible}


def test_no_rows_are_no_fault() -> None:
    verdict = judge()
    assert verdict.blocking == {}
    assert {one["checked"] for one in verdict.result} == {0}


def test_the_digest_of_the_suite_is_that_of_the_catalogue_and_not_of_the_day() -> None:
    one, other = judge({}), judge({"name": ""})
    assert one.suite.digest == other.suite.digest
    assert one.digest != other.digest
    stricter = replace(customers(), birth_field=None)
    assert judge({}, dataset=stricter).suite.digest != one.suite.digest


def test_the_result_counts_every_rule(all_defects: Verdict) -> None:
    by_rule = {(one["rule"], one["column"]): one for one in all_defects.result}
    assert by_rule["required_missing", "name"]["failed"] == 1
    assert by_rule["resident_id_check_digit", "resident_id"]["failed"] == 2
    assert by_rule["email_malformed", "email"]["checked"] == len(DEFECTS) + 1
    assert all(set(one) == ALLOWED for one in all_defects.result)
    json.dumps(all_defects.result)


ALLOWED = {"name", "rule", "column", "severity", "success", "checked", "failed"}
CANARIES = ("KANARIENVOGEL", "13800777999", "99990000111", "卡纳里", "77.5")


def _canary_rows() -> list[dict[str, RawValue]]:
    vogel, mobile, digits, hanzi, decimal = CANARIES
    return [
        {"customer_no": vogel},
        {"customer_no": vogel, "name": hanzi * 20},
        {"name": vogel + "\x07"},
        {"sex": vogel},
        {"birth_on": vogel},
        {"resident_id": digits},
        {"resident_id": vogel + "\u0425"},
        {"resident_id": NumericCell(text=digits)},
        {"mobile": mobile + "1"},
        {"email": vogel},
        {"bank_card": digits + "1111"},
        {"phone": vogel},
        {"collected_at": decimal},
        {"registered_on": hanzi},
    ]


def test_no_value_of_any_failing_cell_is_in_the_verdict_or_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        verdict = judge(*_canary_rows())
    assert len(verdict.blocking) + len(verdict.warnings) >= len(_canary_rows())
    out, error = capfd.readouterr()
    told = repr(verdict) + json.dumps(verdict.result) + caplog.text + out + error
    assert not [one for one in CANARIES if one in told]


def test_not_even_the_raw_result_of_great_expectations_holds_a_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = _raw_results(monkeypatch)
    assert len(raw) > 5_000
    assert not [one for one in CANARIES if one in raw]


def test_the_careless_result_format_would_have_told_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "RESULT_FORMAT", {"result_format": "COMPLETE"})
    monkeypatch.setattr(suite, "UNASKED", ())
    suite.prepare.cache_clear()
    try:
        raw = _raw_results(monkeypatch)
    finally:
        suite.prepare.cache_clear()
    assert [one for one in CANARIES if one in raw] == [*CANARIES[:3]]


def test_a_prepared_suite_says_what_great_expectations_says_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames: list[Any] = []
    original = engine._frame

    def keeping(*arguments: Any) -> object:
        frames.append(original(*arguments))
        return frames[-1]

    monkeypatch.setattr(engine, "_frame", keeping)
    judge(*_canary_rows())
    dataset = customers()
    checks = generated_checks(dataset, scope(dataset))
    asked = [suite._expectation(one, TODAY) for one in checks]
    said = _said_by_itself(frames[0], asked)
    prepared = suite.prepare(checks, TODAY).judge(frames[0])
    rows = "unexpected_index_list"
    told = [
        {**one, "result": {**one["result"], rows: one["result"].get(rows, [])}}
        for one in prepared
        if one
    ]
    assert sorted(map(str, told)) == sorted(map(str, said))
    assert sum(not one["success"] for one in said) > 10


def _said_by_itself(frame: object, asked: list[Any]) -> list[dict[str, object]]:
    """Return what a validation of the frame says, derived as Great Expectations derives it."""
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = great_expectations.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("custody").add_dataframe_asset("chunk")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    own = great_expectations.ExpectationSuite(name="own", expectations=asked)
    validated = batch.validate(own, result_format=suite.RESULT_FORMAT)
    return [{"success": one.success, "result": one.result} for one in validated.results]


def test_a_suite_that_judged_a_chunk_judges_the_next_one_afresh() -> None:
    assert judge({"name": ""}, {}).blocking == {1: {"required_missing"}}
    assert judge({}, {"name": ""}, {"sex": "未知"}).blocking == {
        2: {"required_missing"},
        3: {"value_not_allowed"},
    }
    assert judge({}).blocking == {}


def _raw_results(monkeypatch: pytest.MonkeyPatch) -> str:
    seen: list[object] = []
    original = engine._outcomes

    def listening(dataset: str, checks: object, results: object) -> object:
        seen.append(results)
        return original(dataset, checks, results)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_outcomes", listening)
    judge(*_canary_rows())
    return json.dumps(seen, default=str, ensure_ascii=False)


def test_what_could_not_run_is_a_fault_and_says_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    original = engine._frame
    monkeypatch.setattr(
        engine, "_frame", lambda *arguments: original(*arguments).drop(columns=["name#unread"])
    )
    with pytest.raises(QualityFaultError) as caught:
        judge(*_canary_rows())
    _require_silent(caught.value)


@pytest.mark.parametrize(
    "spoilt",
    [
        {},
        {"exception_info": {"raised_exception": True}},
        {"result": {}},
        {"success": True},
        {"result": {"element_count": 1, "unexpected_count": 2, "unexpected_index_list": [1]}},
        {"result": {"element_count": 1, "unexpected_count": 1}},
    ],
)
def test_a_result_of_another_shape_is_never_a_verdict(spoilt: dict[str, object]) -> None:
    check = engine.Check(kind="present", code="required_missing", field="name", columns=("name",))
    sound = {
        "success": False,
        "exception_info": {"raised_exception": False},
        "result": {"element_count": 1, "unexpected_count": 1, "unexpected_index_list": [1]},
    }
    assert engine._taken("customers", check, sound).failed_rows == (1,)
    with pytest.raises(QualityFaultError):
        engine._taken("customers", check, sound | spoilt if spoilt else {})


def test_an_error_inside_is_a_fault_without_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise ValueError(CANARIES[0])

    monkeypatch.setattr(engine, "_frame", failing)
    with pytest.raises(QualityFaultError) as caught:
        judge({})
    _require_silent(caught.value)


def _require_silent(error: QualityFaultError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    told = str(error) + repr(error.args) + str(copy)
    assert not [one for one in CANARIES if one in told]
    assert error.__suppress_context__ or error.__context__ is None


_ALONE = """
import socket, sys
def refuse(*_): raise SystemExit("a connection was opened")
socket.socket.connect = socket.socket.connect_ex = refuse
import custody.quality
assert "great_expectations" not in sys.modules, "imported before it was needed"
sys.path[:0] = {paths!r}
from test_quality_gate import judge
assert judge({{"name": ""}}).blocking == {{1: {{"required_missing"}}}}
"""


def test_it_runs_without_a_network_and_leaves_no_file(tmp_path: Path) -> None:
    here = Path(__file__).parent
    paths = [str(here), str(here.parent)]
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _ALONE.format(paths=paths)],
        cwd=home,
        env={"HOME": str(home), "PATH": "", "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
    assert done.stdout == ""
