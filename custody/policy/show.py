"""A policy as plain tables, for whoever prints them."""

from collections.abc import Iterable, Mapping

from custody.policy.model import STAGES, Dataset, Policy, Text

Row = dict[str, str]


def render_policy(policy: Policy, lang: str) -> dict[str, list[Row]]:
    """Return the policy's tables by section; every row of a table has the same keys.

    Args:
        policy: The policy to show.
        lang: The language of the titles, ``zh`` or ``en``.
    """
    return {
        "policy": [{"controller": policy.controller[lang], "digest": policy.digest}],
        "datasets": [_dataset(dataset, lang) for dataset in policy.datasets.values()],
        "fields": [row for one in policy.datasets.values() for row in _fields(one, lang)],
        "purposes": list(_purposes(policy, lang)),
        "notices": list(_notices(policy)),
        "sources": list(_sources(policy, lang)),
        "recipients": list(_recipients(policy, lang)),
        "roles": list(_roles(policy, lang)),
        "rules": list(_rules(policy, lang)),
        "gates": [_gate(policy, stage) for stage in STAGES],
        "suites": list(_suites(policy, lang)),
        "settings": [_settings(policy)],
    }


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _said(text: Text, lang: str) -> str:
    return text[lang]


def _by_dataset(fields: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{dataset}: {_words(names)}" for dataset, names in fields.items())


def _dataset(dataset: Dataset, lang: str) -> Row:
    return {
        "dataset": dataset.name,
        "title": _said(dataset.title, lang),
        "fields": str(len(dataset.fields)),
        "record_key": ", ".join(dataset.record_key),
        "references": _words(reference.name for reference in dataset.references),
        "creates_customer": "yes" if dataset.creates_customer else "no",
    }


def _fields(dataset: Dataset, lang: str) -> Iterable[Row]:
    for field in dataset.fields:
        yield {
            "dataset": dataset.name,
            "number": str(field.number),
            "field": field.name,
            "title": _said(field.title, lang),
            "type": field.type.value,
            "category": field.category.value,
            "level": field.level.value,
            "jrt_class": field.jrt_class,
            "sensitive_kind": field.sensitive_kind or "",
            "detector": field.detector or "",
            "mask": field.mask,
            "search": _words(field.search),
        }


def _purposes(policy: Policy, lang: str) -> Iterable[Row]:
    for purpose in policy.purposes.values():
        for dataset, scope in purpose.scopes.items():
            retention = scope.retention
            yield {
                "purpose": purpose.name,
                "title": _said(purpose.title, lang),
                "legal_basis": purpose.legal_basis,
                "consents": _words(purpose.consent_kinds),
                "notice": purpose.notice_version or "",
                "dataset": dataset,
                "required": _words(scope.required),
                "optional": _words(scope.optional),
                "retention": retention.period,
                "from": retention.start_field or retention.start_event or "",
                "basis": retention.basis,
            }


def _notices(policy: Policy) -> Iterable[Row]:
    for notice in policy.notices.values():
        yield {
            "version": notice.version,
            "published_on": notice.published_on.isoformat(),
            "purposes": _words(notice.purposes),
            "fields": _by_dataset(notice.fields),
            "text_sha256": notice.text_sha256,
        }


def _sources(policy: Policy, lang: str) -> Iterable[Row]:
    for source in policy.sources.values():
        yield {
            "source": source.name,
            "title": _said(source.title, lang),
            "kind": source.kind,
            "dataset": source.dataset,
            "purpose": source.purpose or "",
            "namespace": source.namespace,
            "location": source.location or "",
        }


def _recipients(policy: Policy, lang: str) -> Iterable[Row]:
    for recipient in policy.recipients.values():
        contract = recipient.contract
        yield {
            "recipient": recipient.name,
            "title": _said(recipient.title, lang),
            "country": recipient.country,
            "contract": contract.number,
            "valid_from": contract.valid_from.isoformat(),
            "valid_to": contract.valid_to.isoformat(),
            "purposes": _words(contract.purposes),
            "fields": _by_dataset(recipient.fields),
            "key": recipient.key,
        }


def _roles(policy: Policy, lang: str) -> Iterable[Row]:
    for role in policy.roles.values():
        yield {
            "role": role.name,
            "title": _said(role.title, lang),
            "may": _words(role.may),
            "up_to": role.up_to.value,
        }


def _rules(policy: Policy, lang: str) -> Iterable[Row]:
    for rule in policy.rules.values():
        yield {
            "rule": rule.id,
            "article": rule.article,
            "text": _said(rule.text, lang),
            "evidence": rule.evidence,
            "mode": rule.mode,
            "valid_from": rule.valid_from.isoformat(),
            "valid_to": rule.valid_to.isoformat() if rule.valid_to else "",
        }


def _gate(policy: Policy, stage: str) -> Row:
    gate = policy.gate(stage)
    return {
        "stage": stage,
        "owner": gate.owner,
        "tolerated_permille": str(gate.tolerated_permille),
    }


def _suites(policy: Policy, lang: str) -> Iterable[Row]:
    for suite in policy.suites.values():
        for one in suite.expectations:
            yield {
                "suite": suite.name,
                "title": _said(suite.title, lang),
                "dataset": suite.dataset,
                "owner": suite.owner,
                "expectation": one.name,
                "expect": one.expect,
                "fields": ", ".join(one.fields),
                "severity": one.severity,
            }


def _settings(policy: Policy) -> Row:
    settings = policy.settings
    return {
        "log_retention_years": str(settings.log_retention_years),
        "consent_retention_years": str(settings.consent_retention_years),
        "suppression_years": str(settings.suppression_years),
        "quarantine_days": str(settings.quarantine_days),
        "purge_cap_minimum": str(settings.purge_cap_minimum),
        "purge_cap_percent": str(settings.purge_cap_percent),
        "session_minutes": str(settings.session_minutes),
    }
