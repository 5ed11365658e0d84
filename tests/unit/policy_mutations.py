"""Ways to break the example policy, each with the place and code it must be reported under.

A mutation replaces texts of documents. Where a problem must be reported the new text holds ``¦``,
which is taken out again: its position is the expected line and column. Codes are given in the order
of the marks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MARK = "¦"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutation:
    """One way to break a policy: what it is, the edits, the codes expected at the marks."""

    what: str
    edits: tuple[tuple[str, str, str], ...]
    codes: tuple[str, ...]


def apply(mutations: tuple[Mutation, ...], documents: Mapping[str, str]) -> dict[str, str]:
    """Return the documents after the edits, marks still in."""
    changed = dict(documents)
    for mutation in mutations:
        for file, old, new in mutation.edits:
            assert old in changed[file], (mutation.what, file)
            changed[file] = changed[file].replace(old, new, 1)
    return changed


def marks(documents: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """Return file, line and column of every mark, in order, as they are once marks are out."""
    return [
        (file, number, position - line.count(MARK, 0, position) + 1)
        for file, text in sorted(documents.items())
        for number, line in enumerate(text.split("\n"), 1)
        for position in range(len(line))
        if line[position] == MARK
    ]


def unmarked(documents: Mapping[str, str]) -> dict[str, str]:
    """Return the documents without their marks."""
    return {file: text.replace(MARK, "") for file, text in documents.items()}


def _one(what: str, file: str, old: str, new: str, *codes: str) -> Mutation:
    return Mutation(what=what, edits=((f"{file}.yaml", old, new),), codes=codes)


UNKNOWN, MISSING, TWICE = "policy_unknown_key", "policy_missing_key", "policy_duplicate_key"
TYPE, ILLEGAL, DANGLING = "policy_wrong_type", "policy_illegal_value", "policy_dangling_reference"
SYNTAX, SECRET, COLLISION = "policy_syntax", "policy_secret", "policy_alias_collision"

CATALOGUE = (
    _one(
        "unknown key",
        "catalogue",
        "        number: 1\n",
        "        ¦no: 1\n        number: 1\n",
        UNKNOWN,
    ),
    _one(
        "key twice",
        "catalogue",
        "    sex_field: sex\n",
        "    sex_field: sex\n    ¦sex_field: name\n",
        TWICE,
    ),
    _one("key twice in a line", "catalogue", "{zh: 客户,", "{zh: 客户, ¦zh: 客人,", TWICE),
    _one("no number", "catalogue", "      name:\n        number: 2\n", "      ¦name:\n", MISSING),
    _one("number in words", "catalogue", "number: 1\n", "number: ¦one\n", TYPE),
    _one("number zero", "catalogue", "number: 1\n", "number: ¦0\n", ILLEGAL),
    _one(
        "boolean in words", "catalogue", "creates_customer: true ", "creates_customer: ¦yes ", TYPE
    ),
    _one("unknown level", "catalogue", "level: general", "level: ¦top", ILLEGAL),
    _one("unknown category", "catalogue", "category: basic_identity", "category: ¦b", ILLEGAL),
    _one("unknown type", "catalogue", "type: code", "type: ¦enum", ILLEGAL),
    _one("unknown detector", "catalogue", "detector: mobile", "detector: ¦radar", ILLEGAL),
    _one(
        "sensitive without a mask",
        "catalogue",
        "mask: resident_id",
        "mask: ¦none",
        ILLEGAL,
    ),
    _one("unknown mask", "catalogue", "mask: name", "mask: ¦carnival", ILLEGAL),
    _one("unknown search", "catalogue", "search: [equality]", "search: [¦likeness]", ILLEGAL),
    _one(
        "language missing",
        "catalogue",
        "title: {zh: 姓名, en: Name}",
        "¦title: {zh: 姓名}",
        MISSING,
    ),
    _one("number reused", "catalogue", "number: 2\n", "number: ¦1\n", "policy_number_reused"),
    Mutation(
        what="retired number reused",
        edits=(
            (
                "catalogue.yaml",
                "    birth_field: birth_on\n",
                "    birth_field: birth_on\n    retired_numbers: [3]\n",
            ),
            ("catalogue.yaml", "number: 3\n", "number: ¦3\n"),
        ),
        codes=("policy_number_reused",),
    ),
    _one("alias of two fields", "catalogue", "[性别, Gender]", "[性别, ¦客户姓名]", COLLISION),
    _one("alias like a name", "catalogue", "[性别, Gender]", "[性别,  ¦\uff2e ame]", COLLISION),
    _one("alias twice", "catalogue", "[性别, Gender]", "¦[性别, 性别]", ILLEGAL),
    _one(
        "record key of nothing",
        "catalogue",
        "record_key: [customer_no]",
        "record_key: [¦none]",
        DANGLING,
    ),
    _one(
        "reference to nothing",
        "catalogue",
        "{field: resident_id, single: true}",
        "{field: ¦passport}",
        DANGLING,
    ),
    _one("birth field of nothing", "catalogue", "field: birth_on", "field: ¦born", DANGLING),
    _one("birth field no date", "catalogue", "field: birth_on", "field: ¦name", ILLEGAL),
    _one("sex field no code", "catalogue", "sex_field: sex", "sex_field: ¦name", ILLEGAL),
    _one(
        "collected at no time", "catalogue", "_at_field: collected_at", "_at_field: ¦sex", ILLEGAL
    ),
    _one(
        "reference declared twice",
        "catalogue",
        "[enquiry_no]\n    references:\n      customer_no: {field: customer_no, namespaced: true,",
        "[enquiry_no]\n    references:\n      customer_no: ¦{field: customer_no,",
        ILLEGAL,
    ),
    Mutation(
        what="code without values",
        edits=(
            ("catalogue.yaml", "        values: [phone, web, branch, app]\n", ""),
            (
                "catalogue.yaml",
                (
                    "        synonyms: {电话: phone, 网站: web, 网页: web, 网点: branch,"
                    " 柜面: branch, 手机应用: app, APP: app}\n"
                ),
                "",
            ),
            ("catalogue.yaml", "      channel:\n", "      ¦channel:\n"),
        ),
        codes=(MISSING,),
    ),
    _one(
        "values of a text",
        "catalogue",
        "mask: name\n",
        "mask: name\n        values: ¦[a]\n",
        ILLEGAL,
    ),
    _one("synonym of nothing", "catalogue", "{男: M,", "{男: ¦X,", DANGLING),
    _one("range upside down", "catalogue", "minimum: 0.01", "minimum: ¦200000000", ILLEGAL),
    _one("range no number", "catalogue", "minimum: 0.01", "minimum: ¦little", TYPE),
    _one(
        "range of a text", "catalogue", "mask: name\n", "mask: name\n        minimum: ¦1\n", ILLEGAL
    ),
    _one(
        "earliest of a text",
        "catalogue",
        "mask: name\n",
        "mask: name\n        earliest: ¦2000-01-01\n",
        ILLEGAL,
    ),
    _one(
        "free date",
        "catalogue",
        "mask: hidden\n        earliest:",
        "mask: hidden\n        free_text: ¦true\n        earliest:",
        ILLEGAL,
    ),
    _one("a year for a day", "catalogue", "earliest: 1900-01-01", "earliest: ¦1900", TYPE),
    _one("no such day", "catalogue", "earliest: 1900-01-01", "earliest: ¦1900-02-30", TYPE),
    _one(
        "sensitive, sealed as general",
        "catalogue",
        "level: secret",
        "level: ¦general",
        "policy_level_too_low",
    ),
)

PURPOSES = (
    _one(
        "no legal basis",
        "purposes",
        "legal_basis: contract         #",
        "legal_basis: ¦interest #",
        "basis_not_established",
    ),
    _one(
        "field of nothing",
        "purposes",
        "name, sex, birth_on, resident_id",
        "name, sex, ¦gender, birth_on, resident_id",
        DANGLING,
    ),
    Mutation(
        what="dataset of nothing",
        edits=(
            (
                "purposes.yaml",
                "      enquiries:\n        required",
                "      ¦tickets:\n        required",
            ),
            ("sources.yaml", "purpose: customer_care", "purpose: ¦customer_care"),
        ),
        codes=(DANGLING, DANGLING),
    ),
    _one(
        "required and optional",
        "purposes",
        "optional: [email, address, bank",
        "optional: [email, ¦name, address, bank",
        ILLEGAL,
    ),
    _one(
        "optional twice",
        "purposes",
        "optional: [email, address, bank",
        "optional: ¦[email, email, address, bank",
        ILLEGAL,
    ),
    _one(
        "record key not required",
        "purposes",
        "required: [transaction_no, customer_no, occurred_on, amount, currency]",
        "required: ¦[customer_no, occurred_on, amount, currency]",
        MISSING,
    ),
    _one(
        "nobody's records",
        "purposes",
        "required: [transaction_no, customer_no, occurred_on, amount, currency]",
        "required: ¦[transaction_no, occurred_on, amount, currency]",
        MISSING,
    ),
    _one("no period", "purposes", "period: P2Y", "period: ¦2Y", ILLEGAL),
    _one("period of no day", "purposes", "period: P2Y", "period: ¦P0D", ILLEGAL),
    _one("period beyond calendars", "purposes", "period: P2Y", "period: ¦P8000Y", ILLEGAL),
    _one(
        "two starts",
        "purposes",
        "retention: {period: P2Y, basis: P19,",
        "¦retention: {period: P2Y, basis: P19, start_event: relationship_ended,",
        MISSING,
    ),
    _one(
        "no start",
        "purposes",
        "retention: {period: P2Y, basis: P19, start_field: asked_at}",
        "¦retention: {period: P2Y, basis: P19}",
        MISSING,
    ),
    _one("start of nothing", "purposes", "start_field: asked_at", "start_field: ¦then", DANGLING),
    _one("start no date", "purposes", "start_field: asked_at", "start_field: ¦body", ILLEGAL),
    _one(
        "start may be missing",
        "purposes",
        "start_event: relationship_ended}",
        "start_field: ¦registered_on}",
        ILLEGAL,
    ),
    _one(
        "unknown event",
        "purposes",
        "start_event: relationship_ended}",
        "start_event: ¦doomsday}",
        ILLEGAL,
    ),
    _one(
        "no such notice",
        "purposes",
        'notice_version: "2021-11"',
        'notice_version: ¦"2099"',
        DANGLING,
    ),
    _one(
        "narrow notice",
        "purposes",
        'notice_version: "2021-11"',
        'notice_version: ¦"2020-01"',
        "notice_not_covering",
    ),
    _one(
        "no notice",
        "purposes",
        "  customer_care:\n    title: {zh: 客户咨询, en: Customer care}\n"
        '    legal_basis: consent\n    notice_version: "2021-11"\n',
        "  ¦customer_care:\n    title: {zh: 客户咨询, en: Customer care}\n"
        "    legal_basis: consent\n",
        MISSING,
    ),
    _one(
        "no separate consent",
        "purposes",
        "consent_kinds: [purpose, sensitive]",
        "consent_kinds: ¦[purpose]",
        "separate_consent_missing",
    ),
    _one(
        "no consent to the purpose",
        "purposes",
        "consent_kinds: [purpose, sensitive]",
        "consent_kinds: ¦[sensitive]",
        ILLEGAL,
    ),
    _one(
        "unknown consent",
        "purposes",
        "consent_kinds: [purpose, sensitive]",
        "consent_kinds: [purpose, sensitive, ¦tacit]",
        ILLEGAL,
    ),
    _one(
        "consent without need",
        "purposes",
        "legal_basis: contract\n",
        "legal_basis: contract\n    consent_kinds: ¦[purpose]\n",
        ILLEGAL,
    ),
    _one(
        "notice of no purpose",
        "purposes",
        "purposes: [insurance_service]",
        "purposes: [insurance_service, ¦espionage]",
        DANGLING,
    ),
    _one(
        "notice of no field",
        "purposes",
        "customers: [customer_no, name, sex, birth_on, mobile]",
        "customers: [customer_no, ¦shoe_size]",
        DANGLING,
    ),
    _one(
        "notice of no dataset",
        "purposes",
        "customers: [customer_no, name, sex, birth_on, mobile]",
        "¦suppliers: [name]",
        DANGLING,
    ),
)

OUTSIDE = (
    _one("no such dataset", "sources", "dataset: customers", "dataset: ¦suppliers", DANGLING),
    _one("no such purpose", "sources", "purpose: profiling", "purpose: ¦spying", DANGLING),
    _one(
        "purpose of other data",
        "sources",
        "purpose: profiling",
        "purpose: ¦customer_care",
        DANGLING,
    ),
    _one(
        "no purpose",
        "sources",
        "  legacy_profiles:\n    title: {zh: 画像系统, en: Scores of the"
        " profiling system}\n    kind: csv\n    dataset: profiles\n    namespace: legacy\n"
        "    purpose: profiling\n",
        "  ¦legacy_profiles:\n    title: {zh: 画像系统, en: Scores}\n    kind: csv\n"
        "    dataset: profiles\n    namespace: legacy\n",
        MISSING,
    ),
    _one(
        "purpose of consents",
        "sources",
        "dataset: consents",
        "purpose: ¦profiling\n    dataset: consents",
        ILLEGAL,
    ),
    _one(
        "column to nothing",
        "sources",
        "purpose: profiling",
        "purpose: profiling\n    columns: {points: ¦points}",
        DANGLING,
    ),
    _one(
        "column against its alias",
        "sources",
        "purpose: profiling",
        "purpose: profiling\n    columns: {评分: ¦risk_level}",
        COLLISION,
    ),
    _one(
        "consent column to nothing",
        "sources",
        "dataset: consents\n    namespace: legacy\n",
        "dataset: consents\n    namespace: legacy\n    columns: {监护人: ¦aim}\n",
        DANGLING,
    ),
    _one("unknown kind", "sources", "kind: xlsx", "kind: ¦ods", ILLEGAL),
    _one("unknown encoding", "sources", "encoding: gb18030", "encoding: ¦gbk", ILLEGAL),
    _one(
        "encoding of a workbook",
        "sources",
        "kind: xlsx",
        "kind: xlsx\n    encoding: ¦utf-8",
        ILLEGAL,
    ),
    _one(
        "no location",
        "sources",
        "  chinook_customers:\n    title: {zh: Chinook 客户,"
        " en: Customers of Chinook}\n    kind: sql\n    location: ${CUSTODY_CHINOOK_URL}\n",
        "  ¦chinook_customers:\n    title: {zh: Chinook 客户, en: Customers}\n    kind: sql\n",
        MISSING,
    ),
    _one(
        "table and query",
        "sources",
        "  chinook_customers:\n    title:",
        "  ¦chinook_customers:\n    table: Customer\n    title:",
        MISSING,
    ),
    _one(
        "password in a URL",
        "sources",
        "location: ${CUSTODY_CHINOOK_URL}",
        "location: ¦postgresql://reader:hunter2@db.example/legacy",
        SECRET,
    ),
    _one(
        "password as a parameter",
        "sources",
        "location: ${CUSTODY_CHINOOK_URL}",
        "location: ¦postgresql://reader@db.example/legacy?password=hunter2",
        SECRET,
    ),
    _one(
        "password in a connection text",
        "sources",
        "location: ${CUSTODY_CHINOOK_URL}",
        "location: ¦host=db user=reader password=hunter2",
        SECRET,
    ),
    _one(
        "private key",
        "recipients",
        "number: HT-2022-017",
        "number: ¦AGE-SECRET-KEY-1HUNTER2",
        SECRET,
    ),
    _one("key with a slip", "recipients", "    key: age1", "    key: ¦age1q", ILLEGAL),
    _one(
        "contract over before it began",
        "recipients",
        "valid_to: 2024-12-31",
        "valid_to: ¦2021-12-31",
        ILLEGAL,
    ),
    _one(
        "contract for nothing",
        "recipients",
        "purposes: [partner_service]",
        "purposes: [partner_service, ¦resale]",
        DANGLING,
    ),
    _one("country in words", "recipients", "country: SG", "country: ¦Singapore", ILLEGAL),
    _one(
        "more than needed",
        "recipients",
        "customers: [customer_no, name, mobile]",
        "customers: [customer_no, name, mobile, ¦address]",
        "fields_not_necessary",
    ),
    _one(
        "recipient of no field",
        "recipients",
        "customers: [customer_no, name, mobile]",
        "customers: [customer_no, name, ¦fax]",
        DANGLING,
    ),
    _one(
        "unknown action", "roles", "may: [approve, enrol,", "may: [approve, ¦rule, enrol,", DANGLING
    ),
    _one("role above all", "roles", "up_to: general", "up_to: ¦god", ILLEGAL),
    _one(
        "summary that blocks",
        "rules/standards",
        "mode: warn",
        "mode: ¦block",
        "policy_unread_rule_blocks",
    ),
    _one(
        "rule over before it began",
        "rules/pipl",
        "valid_from: 2021-11-01\n",
        "valid_from: 2021-11-01\n    valid_to: ¦2020-01-01\n",
        ILLEGAL,
    ),
    _one("unknown evidence", "rules/house", "evidence: H", "evidence: ¦Z", ILLEGAL),
    _one(
        "log kept two years",
        "settings",
        "log_retention_years: 10",
        "log_retention_years: ¦2",
        "log_retention_too_short",
    ),
    _one("no day", "settings", "quarantine_days: 30", "quarantine_days: ¦0", ILLEGAL),
    _one(
        "evidence kept two years",
        "settings",
        "consent_retention_years: 3",
        "consent_retention_years: ¦2",
        ILLEGAL,
    ),
    _one("unknown setting", "settings", "  quarantine_days: 30", "  ¦quarantain_days: 30", UNKNOWN),
    _one("setting in words", "settings", "session_minutes: 480", "session_minutes: ¦long", TYPE),
    _one(
        "section nobody knows", "settings", "controller:", "¦colours: {a: b}\ncontroller:", UNKNOWN
    ),
)

_HOUSE = "quality/house"
_REGEX = 'parameters: {regex: "^(无|未知|待定|[Nn]/?[Aa]|[Tt][Ee][Ss][Tt])$"}'
_EXPECTED = "expect: column_values_to_not_match_regex\n        fields: [product]\n        "
_WHOLE = _EXPECTED + _REGEX


def _expecting(what: str, kind: str, fields: str, parameters: str, *codes: str) -> Mutation:
    new = f"expect: {kind}\n        fields: {fields}\n        parameters: {parameters}"
    return _one(what, _HOUSE, _WHOLE, new, *codes)


QUALITY = (
    _one("gate of no stage", _HOUSE, "  store:    {", "  ¦use:      {", ILLEGAL),
    _one(
        "gate of nobody", _HOUSE, "store:    {owner: engineer", "store:    {owner: ¦boss", DANGLING
    ),
    _one(
        "store lets pass",
        _HOUSE,
        "store:    {owner: engineer}",
        "store:    {owner: engineer, tolerated_permille: ¦1}",
        ILLEGAL,
    ),
    _one("more than all pass", _HOUSE, "permille: 500}", "permille: ¦1001}", ILLEGAL),
    _one("suite of no dataset", _HOUSE, "dataset: transactions", "dataset: ¦sales", DANGLING),
    _one(
        "suite of nobody",
        _HOUSE,
        "    owner: engineer\n    rows",
        "    owner: ¦boss\n    rows",
        DANGLING,
    ),
    _one(
        "more rows at least than at most",
        _HOUSE,
        "    rows_at_most: 50000000",
        "    rows_at_most: 50000000\n    rows_at_least: ¦50000001",
        ILLEGAL,
    ),
    _one("expectation of no field", _HOUSE, "fields: [product]", "fields: [¦produce]", DANGLING),
    _one(
        "expectation of two fields",
        _HOUSE,
        "fields: [product]",
        "fields: ¦[product, currency]",
        ILLEGAL,
    ),
    _one("pattern of a number", _HOUSE, "fields: [product]", "fields: [¦amount]", ILLEGAL),
    _one("no pattern", _HOUSE, _REGEX, 'parameters: {regex: ¦"("}', ILLEGAL),
    _one("pattern missing", _HOUSE, _REGEX, "parameters: ¦{}", MISSING),
    _one("parameter nobody knows", _HOUSE, _REGEX, "parameters: {regex: a, ¦mostly: 1}", UNKNOWN),
    _one("pattern that is a number", _HOUSE, _REGEX, "parameters: {regex: ¦7}", ILLEGAL),
    _one(
        "expectation over a whole column",
        _HOUSE,
        "expect: column_values_to_not_match_regex",
        "expect: ¦column_max_to_be_between",
        ILLEGAL,
    ),
    _expecting("bounds missing", "column_values_to_be_between", "[amount]", "¦{}", MISSING),
    _expecting(
        "a day for a number",
        "column_values_to_be_between",
        "[amount]",
        "{min_value: ¦2026-01-01}",
        ILLEGAL,
    ),
    _expecting(
        "a bound on no such day",
        "column_values_to_be_between",
        "[occurred_on]",
        "{max_value: ¦2026-02-30}",
        ILLEGAL,
    ),
    _expecting(
        "a number and a day",
        "column_pair_values_a_to_be_greater_than_b",
        "¦[amount, occurred_on]",
        "{}",
        ILLEGAL,
    ),
    _expecting(
        "bounds the wrong way round",
        "column_values_to_be_between",
        "[amount]",
        '{min_value: ¦10, max_value: "5.5"}',
        ILLEGAL,
    ),
    _expecting(
        "strict without its bound",
        "column_values_to_be_between",
        "[amount]",
        "{max_value: 5, strict_min: ¦true}",
        ILLEGAL,
    ),
    _expecting(
        "a length below nothing",
        "column_value_lengths_to_be_between",
        "[product]",
        "{min_value: ¦-3}",
        ILLEGAL,
    ),
    _expecting(
        "a set of nothing", "column_values_to_be_in_set", "[product]", "{value_set: ¦[]}", ILLEGAL
    ),
    _expecting(
        "a format of nothing",
        "column_values_to_match_strftime_format",
        "[product]",
        "{strftime_format: ¦hello}",
        ILLEGAL,
    ),
    _expecting(
        "a code that is none of the field's",
        "column_values_to_be_in_set",
        "[currency]",
        "{value_set: ¦[CNY, XXX]}",
        ILLEGAL,
    ),
    _expecting(
        "a sum of fractions",
        "multicolumn_sum_to_equal",
        "¦[¦amount, ¦occurred_on]",
        "{sum_total: 1}",
        ILLEGAL,
        ILLEGAL,
        ILLEGAL,
    ),
    _expecting(
        "neither any nor all",
        "column_values_to_match_regex_list",
        "[product]",
        "{regex_list: [a], match_on: ¦some}",
        ILLEGAL,
    ),
)

SPREAD = (
    Mutation(
        what="statement missing",
        edits=(
            ("purposes.yaml", "    statements:\n", "    ¦statements:\n"),
            (
                "purposes.yaml",
                (
                    "      retention: {zh: 保险关系终止后五年。,"
                    " en: Five years after the insurance ends.}\n"
                ),
                "",
            ),
        ),
        codes=(MISSING,),
    ),
    Mutation(
        what="rule without text",
        edits=(
            ("rules/records.yaml", "  N12:\n", "  ¦N12:\n"),
            ("rules/records.yaml", "    text:\n", "    ¦wording:\n"),
        ),
        codes=(MISSING, UNKNOWN),
    ),
    _one(
        "entry in two documents",
        "settings",
        "controller:",
        "roles:\n  ¦auditor: {title: {zh: 审, en: A}, may: [], up_to: general}\ncontroller:",
        TWICE,
    ),
    _one("role in capitals", "roles", "  auditor:", "  ¦Auditor:", ILLEGAL),
    _one(
        "bare field",
        "catalogue",
        "      registered_on:\n",
        "      bare: ¦7\n      registered_on:\n",
        TYPE,
    ),
)

DOCUMENT = (
    Mutation(
        what="an alias",
        edits=(
            ("roles.yaml", "title: {zh: 第一责任人", "title: ¦&t {zh: 第一责任人"),
            ("roles.yaml", "title: {zh: 保密管理部门, en: Compliance officer}", "title: *t"),
        ),
        codes=(SYNTAX,),
    ),
    _one("no YAML", "roles", "    up_to: secret", "   ¦up_to: secret", SYNTAX),
    _one(
        "a tag",
        "settings",
        "session_minutes: 480",
        "session_minutes: ¦!!python/name:os.system 4",
        SYNTAX,
    ),
)
