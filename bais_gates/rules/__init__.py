"""Judge what probes read, with pure functions: one module per subject, and here their public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.rules import (
        audit_trail,
        backup_job,
        backups,
        cache,
        database,
        database_access,
        database_exposure,
        database_requirements,
        database_settings,
        internals,
        recovery,
    )
    from bais_gates.rules.audit_record import SCOPE, AuditRecord, parse_audit_record
    from bais_gates.rules.certificates import CertificateState, certificate_state, issuer_state
    from bais_gates.rules.procedures import procedure_faults
    from bais_gates.rules.scan_exceptions import ScanException, parse_exceptions, uncovered
    from bais_gates.rules.scans import Report, parse_report
else:
    __getattr__ = lazy_exports(
        __name__,
        "audit_record",
        "audit_trail",
        "backup_job",
        "backups",
        "cache",
        "certificates",
        "database",
        "database_access",
        "database_exposure",
        "database_requirements",
        "database_settings",
        "internals",
        "procedures",
        "recovery",
        "scan_exceptions",
        "scans",
    )

__all__ = [
    "SCOPE",
    "AuditRecord",
    "CertificateState",
    "Report",
    "ScanException",
    "audit_trail",
    "backup_job",
    "backups",
    "cache",
    "certificate_state",
    "database",
    "database_access",
    "database_exposure",
    "database_requirements",
    "database_settings",
    "internals",
    "issuer_state",
    "parse_audit_record",
    "parse_exceptions",
    "parse_report",
    "procedure_faults",
    "recovery",
    "uncovered",
]
