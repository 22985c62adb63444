"""The page of runbooks: whole, safe, found by its links, and searched by what its script does."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.oncall.runbook_page import write_pages
from bais_gates.oncall.runbooks import read_runbooks
from tests.oncall import shop


def _written(folder: Path) -> Path:
    write_pages(read_runbooks(shop.write(folder) / "oncall" / "runbooks"), folder / "out")
    return folder / "out"


def test_every_runbook_has_an_anchor_and_a_page(tmp_path: Path) -> None:
    """General ones come first; an alert's link, ADDRESS/ALERT, is a folder with its runbook alone."""
    out = _written(tmp_path)
    whole = (out / "index.html").read_text(encoding="utf-8")
    names = ["incident-timeline", "post-mortem-template", "severity-matrix", "DatabaseDown"]

    assert re.findall(r'<article id="([^"]+)"', whole) == names
    assert re.findall(r'<li><a href="#([^"]+)"', whole) == names
    assert sorted(path.parent.name for path in out.glob("*/index.html")) == sorted(names)
    alone = (out / "DatabaseDown" / "index.html").read_text(encoding="utf-8")
    assert "<h1>DatabaseDown</h1>" in alone
    assert "Severity matrix" not in alone
    assert "kubectl -n shop rollout restart statefulset/database" in alone


def test_a_page_needs_nothing_and_allows_nothing(tmp_path: Path) -> None:
    """Style and script are inside and allowed by their hashes; text of a runbook is never HTML."""
    path = shop.write(tmp_path) / "oncall" / "runbooks" / "DatabaseDown.md"
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)> {{ 7 * 7 }}\n\n"
    text = path.read_text(encoding="utf-8").replace("Nobody can pay.", evil).replace("name=database", "<b>")
    path.write_text(text, encoding="utf-8")
    write_pages(read_runbooks(path.parent), tmp_path / "out")

    for page in sorted((tmp_path / "out").rglob("*.html")):
        html = page.read_text(encoding="utf-8")
        policy = re.findall(r"'(sha256-[^']+)'", html)
        parts = [
            *re.findall(r"<style>(.*?)</style>", html, re.DOTALL),
            *re.findall(r"<script>(.*?)</script>", html, re.DOTALL),
        ]
        hashes = [
            "sha256-" + base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in parts
        ]

        assert "default-src 'none'" in html
        assert policy[: len(hashes)] == hashes
        assert not re.search(r"<img|<b>|href=\"javascript|alert\(1\)</script>|\b49\b|src=\"|https?://", html)


def test_variables_of_the_commands_are_explained(tmp_path: Path) -> None:
    """A page says what a variable of its commands must hold; without one it says nothing."""
    path = shop.write(tmp_path) / "oncall" / "runbooks" / "DatabaseDown.md"
    text = path.read_text(encoding="utf-8").replace(
        "kubectl -n shop get", "kubectl cordon $NODE\n   kubectl get"
    )
    path.write_text(text, encoding="utf-8")
    write_pages(read_runbooks(path.parent), tmp_path / "out")

    assert "<code>$NODE</code> (the node that" in (tmp_path / "out/DatabaseDown/index.html").read_text()
    assert "variables of your shell" not in (tmp_path / "out/severity-matrix/index.html").read_text()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Where OUT is a file, the error names it and the option."""
    (tmp_path / "out").write_text("")

    with pytest.raises(GateInputError, match=r"out/index\.html: .* Give another folder to --out"):
        _written(tmp_path)
