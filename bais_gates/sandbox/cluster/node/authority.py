"""What stands behind the sandbox's Certificates: the certificate that its servers really show."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from pathlib import Path


class SandboxAuthority:
    """Gives every Certificate the sandbox's own: its authority's key is gone, so none else can be signed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def issue(self, names: Sequence[str], valid_for: timedelta) -> dict[str, str]:
        """Give certificate, key and authority as PEM; ``names`` and ``valid_for`` are the sandbox's own."""
        del names, valid_for
        return {
            "tls.crt": self._read("server.pem"),
            "tls.key": self._read("server.key"),
            "ca.crt": self._read("ca.pem"),
        }

    def validity(self, certificate: str) -> tuple[datetime, datetime] | None:
        """Give from when until when a PEM certificate is valid, None if it can't be read."""
        from cryptography import x509  # noqa: PLC0415 - slow to import, and only needed for Certificates

        try:
            found = x509.load_pem_x509_certificate(certificate.encode())
        except ValueError:
            return None
        return (
            found.not_valid_before_utc.astimezone(UTC),
            found.not_valid_after_utc.astimezone(UTC),
        )

    def _read(self, name: str) -> str:
        return (self._directory / name).read_text(encoding="utf-8")
