"""What the stand-in's configuration may say, and what is said of one that can't be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver.__main__ import main
from bais_gates.sandbox.cluster.apiserver.config import ConfigError, load

GOOD: dict[str, Any] = {"tls_cert": "c", "tls_key": "k", "tokens": [{"token": "t", "user": "u"}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tls_cert": None}, "tls_cert: is missing"),
        ({"tokens": []}, "tokens: is missing"),
        ({"colour": 1}, "colour: unknown key"),
        ({"tokens": [{"user": "u"}]}, "tokens"),
        ({"port": "x"}, "port"),
        ({"pod_security": "nowhere.at.all:rule"}, "pod_security: can't import nowhere.at.all:rule"),
        ({"pod_security": "json"}, "pod_security: can't import json"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """The file and the key are named."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(ConfigError) as error:
        load(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_no_configuration_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, no traceback."""
    assert main([str(tmp_path / "nothing.json")]) == 2
    assert "can't be read as JSON" in capsys.readouterr().err
