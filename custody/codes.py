"""Every code custody gives as a reason: which rule and article stand behind it, and how strictly.

The words for a code (title, why, next step) lie in :mod:`custody.messages`. A new code is one line
here, one section in each catalogue there, and a page made by ``docs/codes/generate.py``.

A rule known only from a summary or from memory (evidence ``L`` or ``M``) may never block.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from custody.errors import UsageError

Kind = Literal["quality", "basis", "identity", "decision", "fault", "warning"]
Severity = Literal["blocking", "warning", "report"]
Evidence = Literal["H", "S", "Q", "L", "M"]

KINDS: Final = ("quality", "basis", "identity", "decision", "fault", "warning")
MAY_BLOCK: Final = frozenset("HSQ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """One reason custody can give.

    Attributes:
        name: The code itself, as results, receipts and logs carry it.
        rule: The id of the rule behind it, as in ``config/policy/rules``.
        article: The law's short name and article, such as ``PIPL 14``; see ``[articles]`` of
            the message catalogues for the names in full.
        evidence: H house, S full text read, Q quoted, L summary, M memory.
        severity: ``blocking`` refuses, ``warning`` tells, ``report`` says *cannot tell*.
    """

    name: str
    rule: str
    article: str
    evidence: Evidence
    kind: Kind
    severity: Severity

    def __post_init__(self) -> None:
        """Refuse to let a rule block that nobody has read."""
        if self.severity == "blocking" and self.evidence not in MAY_BLOCK:
            raise ValueError(self.name)


_ARTICLES: Final[Mapping[str, tuple[str, Evidence]]] = {
    "H1.2": ("MEASURES 1.2", "H"),
    "H1.3a": ("MEASURES 1.3", "H"),
    "H1.3b": ("MEASURES 1.3", "H"),
    "H1.3c": ("MEASURES 1.3", "H"),
    "H2.1": ("MEASURES 2.1", "H"),
    "H2.2": ("MEASURES 2.2", "H"),
    "H2.3": ("MEASURES 2.3", "H"),
    "H2.3e": ("MEASURES 2.3", "H"),
    "H2.4a": ("MEASURES 2.4", "H"),
    "H2.4b": ("MEASURES 2.4", "H"),
    "H2.4d": ("MEASURES 2.4", "H"),
    "H3": ("MEASURES 3", "H"),
    "P13": ("PIPL 13", "S"),
    "P14": ("PIPL 14", "S"),
    "P15": ("PIPL 15", "S"),
    "P17": ("PIPL 17", "S"),
    "P19": ("PIPL 19", "S"),
    "P21": ("PIPL 21", "S"),
    "P23": ("PIPL 23", "S"),
    "P29": ("PIPL 29", "S"),
    "P31": ("PIPL 31", "S"),
    "P38": ("PIPL 38", "S"),
    "P47": ("PIPL 47", "S"),
    "P55": ("PIPL 55", "S"),
    "P56": ("PIPL 56", "S"),
    "ID": ("GB 11643", "M"),
}

# The house's third measure gives every stage its gate; quality is the gate of the first.
_TABLE: Final = """
quality   blocking  H3     required_missing type_invalid format_invalid value_not_allowed
quality   blocking  H3     value_out_of_range text_too_long control_character undecodable_text
quality   blocking  H3     resident_id_malformed resident_id_check_digit resident_id_date
quality   blocking  H3     resident_id_birth_mismatch resident_id_sex_mismatch date_implausible
quality   blocking  H3     bank_card_check_digit mobile_malformed email_malformed
quality   blocking  H3     confusable_character numeric_identifier_cell duplicate_in_batch
quality   blocking  H3     ragged_row source_empty expectation_failed value_unreadable
basis     blocking  P13    consent_missing basis_not_established
basis     blocking  P14    consent_not_explicit consent_after_collection notice_not_covering
basis     blocking  P15    consent_withdrawn
basis     blocking  H1.3a  consent_pre_ticked consent_bundled consent_evidence_unknown
basis     blocking  P17    notice_not_shown notice_after_collection notice_unknown
basis     blocking  P29    separate_consent_missing
basis     blocking  P31    guardian_consent_missing
basis     blocking  P47    subject_suppressed
identity  blocking  H3     identity_conflict subject_unknown
decision  blocking  H2.3e  staff_inactive
decision  blocking  H2.4b  role_not_permitted level_not_permitted requester_is_approver
decision  blocking  H2.4b  already_voted statement_invalid statement_expired session_expired
decision  blocking  H2.4b  enrolment_needs_officer signature_invalid approver_locked
decision  blocking  H2.3   purpose_not_permitted window_invalid request_not_open grant_expired
decision  blocking  H2.3   nothing_to_do
decision  blocking  H1.3b  fields_not_necessary
decision  blocking  P23    recipient_unlisted recipient_consent_missing
decision  blocking  P21    contract_not_in_force
decision  blocking  P38    country_not_permitted
decision  blocking  H2.4d  digest_mismatch plan_moved plan_in_future approvals_missing
decision  blocking  H2.4d  record_corrected
decision  blocking  P47    held record_erased period_not_empty
decision  blocking  H1.3c  unknown_reference batch_stored source_changed
fault     blocking  H1.3c  fault usage refused database_failed changed_meanwhile
fault     blocking  H1.3c  deploy_failed demo_disagrees run_fenced
fault     blocking  H2.4a  seal_invalid root_unavailable suite_retired
fault     blocking  H2.4b  person_key
fault     blocking  H2.4d  ledger_broken checkpoint_contradicted checkpoint_invalid
fault     blocking  H2.4d  witness_refused witness_unreachable
fault     blocking  P47    destruction_failed
fault     blocking  H3     quality_gate row_count_unexpected stored_otherwise
fault     blocking  H3     index_incomplete package_count
fault     blocking  H2.4a  seal_absent
fault     blocking  H2.4d  clock_jumped
fault     blocking  H2.1   policy_invalid policy_syntax policy_unknown_key policy_missing_key
fault     blocking  H2.1   policy_duplicate_key policy_wrong_type policy_illegal_value
fault     blocking  H2.1   policy_dangling_reference policy_number_reused policy_alias_collision
fault     blocking  H2.1   policy_unread_rule_blocks
fault     blocking  H2.4a  policy_level_too_low
fault     blocking  H2.4b  policy_secret
fault     blocking  H2.4d  log_retention_too_short
warning   warning   ID     area_code_unknown
warning   warning   H2.4a  level_raised
warning   warning   P19    retention_already_over
warning   report    P55    assessment_not_captured
warning   report    H2.2   training_not_captured
warning   report    H2.1   policy_approval_not_captured
"""


def _read_table(table: str) -> Iterator[Code]:
    for line in table.strip().splitlines():
        kind, severity, rule, *names = line.split()
        article, evidence = _ARTICLES[rule]
        for name in names:
            yield Code(
                name=name,
                rule=rule,
                article=article,
                evidence=evidence,
                kind=cast("Kind", kind),
                severity=cast("Severity", severity),
            )


CODES: Final[Mapping[str, Code]] = {code.name: code for code in _read_table(_TABLE)}


def find_code(name: str) -> Code | None:
    """Return the code called ``name``, or None."""
    return CODES.get(name)


def require_code(name: str) -> Code:
    """Return the code called ``name``.

    Raises:
        UsageError: There is no such code.
    """
    code = CODES.get(name)
    if code is None:
        raise UsageError("no such code", name)
    return code


def codes_of(kind: Kind) -> frozenset[str]:
    """Return the names of all codes of one kind."""
    return frozenset(code.name for code in CODES.values() if code.kind == kind)
