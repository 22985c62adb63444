"""The documents say what is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from bais_gates.cli import commands
from bais_gates.verdict.model import ExitStatus
from tests.launch import run_command, run_pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_list_of_ways_round_the_gate_is_that_of_the_tests() -> None:
    """docs/bypass.md is what docs/bypass.py makes of tests/bypass."""
    program = "import bypass, sys; sys.stdout.write(bypass.document())"
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "docs", capture_output=True, text=True, check=True
    )

    assert (ROOT / "docs" / "bypass.md").read_text(encoding="utf-8") == made.stdout


def test_the_table_of_rules_is_that_of_the_gates() -> None:
    """docs/rules.md is what docs/rules.py makes of the gates, and no rule there is without a source."""
    program = "import rules, sys; sys.stdout.write(rules.document())"
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "docs", capture_output=True, text=True, check=True
    )

    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == made.stdout
    assert re.findall(r"^\| `.*\|\s*\|$", made.stdout, re.MULTILINE) == []
    assert made.stdout.count("\n| `") > 100


def test_links_of_the_readme_lead_somewhere() -> None:
    """Every relative link and picture of the README is a file of the project."""
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_readme_names_every_exit_status_and_command() -> None:
    """No exit status and no command is missing from the README."""
    for status in ExitStatus:
        assert re.search(rf"^\| {int(status)} \|", README, re.MULTILINE)
    for command in commands():
        assert f"bais-gates {command.__name__.rpartition('.')[2]}" in README


def test_the_readme_shows_the_two_commands_first() -> None:
    """The first code block of the README holds the two commands, and both exist and can be run."""
    block = README.split("```sh\n")[1].split("```")[0]
    commands = [line.split()[0] for line in block.splitlines()]

    assert commands == ["bin/golive", "bin/test"]
    assert all((ROOT / command).stat().st_mode & 0o111 for command in commands)


def test_the_architecture_section_names_what_there_is() -> None:
    """Each file and folder of the architecture section exists, and no room of the package is missing."""
    drawing = README.split("# Architecture\n\n```\n")[1].split("```")[0]
    named: list[Path] = []
    parents = [ROOT]
    for line in drawing.splitlines():
        match = re.match(r"( *)([\w.]+/?)(?:  |$)", line)
        if match is None or len(match[1]) > 4:  # the text of the line above goes on
            continue
        depth = len(match[1]) // 2
        parents[depth + 1 :] = [parents[depth] / match[2]]
        named.append(parents[-1])
    rooms = [path for path in (ROOT / "bais_gates").iterdir() if not path.name.startswith(("_", "py.typed"))]
    small = {"errors.py", "redaction.py", "extras.py", "lazy.py", "people.py", "streams.py", "strict.py"}

    assert [str(path) for path in named if not path.exists()] == []
    assert {path.name for path in rooms} - {path.name for path in named} == small


def test_the_gate_of_the_readme_works_as_written(tmp_path: Path) -> None:
    """A new project with the README's entry and test decides, and blocks once the observed value differs."""
    entry, gate = (
        textwrap.dedent(re.findall(rf"   ```{language}\n(.*?)   ```", README, re.DOTALL)[0])
        for language in ("yaml", "python")
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    arguments = ("-p", "bais_gates.pytest_plugin.plugin", "-m", "golive")

    def decide() -> int:
        return run_pytest(arguments, folder=tmp_path, env=environment, timeout_s=60).returncode

    assert run_command("init", folder=tmp_path).returncode == 0
    with (tmp_path / "gates" / "catalog.yaml").open("a", encoding="utf-8") as catalog:
        catalog.write(textwrap.indent(entry, "  "))
    name = re.search(r"`gates/checklist/(test_\w+\.py)`", README)
    assert name is not None
    (tmp_path / "gates" / "checklist" / name[1]).write_text(gate, encoding="utf-8")
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## 1.4.0 - 2026-11-29\n", encoding="utf-8")

    assert run_command("validate", folder=tmp_path).returncode == 0
    assert decide() == 0
    changelog.write_text("# Changelog\n\n## 1.3.9 - 2026-11-02\n", encoding="utf-8")
    assert decide() == 20
