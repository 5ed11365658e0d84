"""The report: complete in both languages, self-contained, escaped, honest about gaps."""

import re
import stat
import tomllib
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from custody.codes import codes_of
from custody.errors import UsageError
from custody.messages import LANGUAGES, message
from custody.reports.bars import FULL, single, stacked
from custody.reports.html import page_name, render_report, write_report
from custody.reports.words import instant, words

DOCUMENT = {
    "installation": {"id": "inst_1", "synthetic": True, "created_at": "2026-11-23T19:58:03+08:00"},
    "policy_digest": "ab" * 32,
    "generated_at": "2026-11-23T20:04:57+08:00",
    "stages": {
        "ingest": {
            "read": 16838,
            "accepted": 16075,
            "refused": 763,
            "unchanged": 25,
            "dropped_fields": {"social_account": 1503},
            "sources": [
                {
                    "source": "legacy_customers",
                    "dataset": "customers",
                    "read": 16838,
                    "accepted": 16075,
                    "refused": 763,
                    "unchanged": 25,
                    "reasons": {"consent_pre_ticked": 1234, "required_missing": 7},
                }
            ],
            "reasons": {"consent_pre_ticked": 1234, "required_missing": 7, "not_in_the_list": 1},
        },
        "store": {
            "stored": 16075,
            "replaced": 3,
            "customers": 4890,
            "levels": {"general": 9000, "sensitive": 7000, "secret": 75},
            "level_raised": 81,
        },
        "use": {
            "requests": [
                {
                    "request": "req_1",
                    "decision": "refused",
                    "reasons": ["staff_inactive", "fields_not_necessary"],
                    "customers": 20,
                    "fields": ["name", "health_note"],
                    "purpose": "profiling",
                }
            ]
        },
        "transfer": {
            "requests": [
                {
                    "request": "req_2",
                    "state": "delivered",
                    "recipient": "rescue_partner",
                    "rows": 2107,
                    "left_out": {"recipient_consent_missing": 2391},
                    "package_sha256": "cd" * 32,
                    "approvers": ["staff_1", "staff_2"],
                }
            ]
        },
        "destroy": {
            "plan": "plan_1",
            "as_of": "2027-06-30",
            "destroyed": 4012,
            "kept": 12063,
            "reasons": {"retention_over": 3804, "consent_withdrawn": 208},
            "held": 3,
            "certificate": "cert_1",
        },
    },
    "verify": {"ok": True, "entries": 187, "head": "ef" * 32, "runs": 9},
    "cannot_tell": ["training_not_captured"],
    "runs": [
        {
            "flow": "ingest",
            "run_id": "r1",
            "name": "ingest 20:00",
            "state": "COMPLETED",
            "seconds": 3.21,
        }
    ],
    "report": "/somewhere/report-zh.html",
    "next": ["custody verify --prefect", "custody quarantine list", "custody doctor"],
}
ADDRESS = re.compile(r"(?:src|href|action|data|poster)\s*=|@import|url\(|https?:|//", re.IGNORECASE)


class Checker(HTMLParser):
    """Notes what a page refers to, and whether its elements nest."""

    VOID = frozenset({"meta", "wbr", "br", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open, self.links, self.tags, self.text = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "action", "data"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002 - the parser calls it so
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def text_of(page):
    return " ".join(" ".join(checked(page).text).split())


def changed(**stages: object) -> dict[str, object]:
    return DOCUMENT | {"stages": DOCUMENT["stages"] | stages}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_page_refers_to_nothing_but_its_twin_in_the_other_language(lang):
    page = render_report(DOCUMENT, lang)
    other = next(one for one in LANGUAGES if one != lang)
    seen = checked(page)
    assert seen.links == [page_name(other)]
    assert seen.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    assert [found for found in ADDRESS.findall(page) if found.lower() != "href="] == []


def test_the_check_for_outside_addresses_can_fail():
    page = render_report(DOCUMENT, "en").replace(
        "</main>", '<img src="//cdn.example.com/x.png"></main>'
    )
    assert [found for found in ADDRESS.findall(page) if found.lower() != "href="] == ["src=", "//"]


def flat(table, path=()):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, (*path, key))
        else:
            yield (*path, key), value


def test_both_languages_say_the_same_things():
    texts = {}
    for lang in LANGUAGES:
        raw = files("custody.reports").joinpath(f"texts/{lang}.toml").read_text(encoding="utf-8")
        texts[lang] = dict(flat(tomllib.loads(raw)))
    assert texts["zh"].keys() == texts["en"].keys()
    for key, zh in texts["zh"].items():
        assert sorted(re.findall(r"{\w+}", zh)) == sorted(re.findall(r"{\w+}", texts["en"][key]))
        assert zh.strip()
        assert texts["en"][key].strip()


def test_the_english_page_has_no_chinese_but_its_seals_and_the_link():
    chinese = set(re.findall("[\u4e00-\u9fff]+", text_of(render_report(DOCUMENT, "en"))))
    assert chinese <= {*"收存用传销拒验", "中文"}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_figure_code_and_name_of_the_document_is_shown(lang):
    text = text_of(render_report(DOCUMENT, lang))
    for shown in (
        "16,838", "16,075", "763", "1,503", "1,234", "4,890", "9,000", "2,107", "2,391", "4,012",
        "12,063", "3,804", "208", "187", "81", "2027-06-30", "2026-11-23 20:04 +08:00", "3.2",
        "plan_1", "cert_1", "req_1", "req_2", "staff_1, staff_2", "rescue_partner", "ab" * 32,
        "cd" * 32, "ef" * 32, "inst_1", *DOCUMENT["next"],
    ):  # fmt: skip
        assert shown in text, shown
    for code in ("consent_pre_ticked", "staff_inactive", "training_not_captured"):
        assert message(code, lang).title in text
        assert code in text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_code_that_can_refuse_a_row_has_its_title_and_place(lang):
    codes = sorted(codes_of("quality") | codes_of("basis") | codes_of("identity"))
    ingest = DOCUMENT["stages"]["ingest"] | {"reasons": dict.fromkeys(codes, 2)}
    text = text_of(render_report(changed(ingest=ingest), lang))
    assert [code for code in codes if message(code, lang).title not in text] == []


def test_a_code_nobody_knows_is_shown_as_it_is():
    text = text_of(render_report(DOCUMENT, "en"))
    assert "Other" in text
    assert "not_in_the_list" in text


def test_whatever_is_passed_in_is_escaped():
    nasty = "<script>alert('x')</script>"
    use = {"requests": [DOCUMENT["stages"]["use"]["requests"][0] | {"purpose": nasty}]}
    page = render_report(changed(use=use) | {"next": [nasty], "policy_digest": f'"{nasty}'}, "zh")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "script" not in checked(page).tags


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_empty_document_gives_a_page_that_claims_nothing(lang):
    text = text_of(render_report({}, lang))
    assert words(lang)["glance"]["not_verified"] in text
    assert words(lang)["glance"]["verified"] + " " not in text
    assert words(lang)["use"]["none"] in text
    assert words(lang)["page"]["synthetic"] not in text


def test_accounts_that_do_not_balance_say_so():
    glance = words("en")["glance"]
    ingest = DOCUMENT["stages"]["ingest"] | {"accepted": 16074}
    assert glance["balanced"] in text_of(render_report(DOCUMENT, "en"))
    assert glance["unbalanced"] in text_of(render_report(changed(ingest=ingest), "en"))


def test_a_failed_verification_is_not_dressed_up():
    text = text_of(render_report(DOCUMENT | {"verify": {"ok": False}}, "en"))
    assert words("en")["glance"]["not_verified"] in text


def test_only_delivered_rows_count_as_transferred():
    request = DOCUMENT["stages"]["transfer"]["requests"][0]
    transfer = {"requests": [request, request | {"state": "awaiting", "rows": 500}]}
    text = text_of(render_report(changed(transfer=transfer), "en"))
    assert f"2,107 {words('en')['glance']['transfer_sub']}" in text


def test_pages_are_written_for_the_owner_alone_and_linked(tmp_path):
    path = write_report(DOCUMENT, tmp_path / "reports", "en")
    assert path.name == "report-en.html"
    pages = sorted(path.parent.iterdir())
    assert [page.name for page in pages] == ["report-en.html", "report-zh.html"]
    assert {stat.S_IMODE(page.stat().st_mode) for page in pages} == {0o600}
    assert 'href="report-zh.html"' in path.read_text(encoding="utf-8")
    assert write_report(DOCUMENT, path.parent) == path.with_name("report-zh.html")


def test_a_language_nobody_speaks_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError):
        write_report(DOCUMENT, tmp_path / "reports", "fr")
    assert not (tmp_path / "reports").exists()


def test_the_parts_of_a_bar_touch_and_fill_it():
    parts = stacked({"a": 1, "b": 0, "c": 3})
    assert [(one.name, one.x, one.width) for one in parts] == [("a", 0, 250), ("c", 250, 750)]
    assert stacked({"a": 0}) == ()
    assert stacked({"a": 1}, scale=4)[0].width == FULL / 4


def test_a_small_value_stays_visible_and_nothing_stays_nothing():
    assert single("a", 1, 100_000)[0].width > 0
    assert single("a", 0, 100_000)[0].width == 0
    assert single("a", 0, 0)[0].width == 0


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2026-11-23T20:04:57+08:00", "2026-11-23 20:04 +08:00"),
        ("2026-11-23T20:04:57", "2026-11-23 20:04"),
        ("2027-06-30", "2027-06-30"),
        ("", ""),
        ("soon", "soon"),
    ],
)
def test_an_instant_is_shown_to_the_minute_with_its_offset(given, shown):
    assert instant(given) == shown
