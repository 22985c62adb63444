"""`bais-gates monitoring render`: rule files for a platform, plain and as objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launch import run_command
from tests.monitoring.rules import alert, load

SHIPPED = Path(__file__).parents[2] / "gates" / "monitoring" / "rules"


def test_the_shipped_rules_rendered(tmp_path: Path) -> None:
    """Each file is written twice, with the same rules but for their runbooks; both are clean."""
    words = ("--out=out", "--runbooks=https://wiki.example.com/r/", "--label=release=prometheus")
    done = run_command("monitoring", "render", str(SHIPPED), *words, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 12
    for source in SHIPPED.iterdir():
        rules = [load(source.read_text(encoding="utf-8"))]
        for kind in ("rules", "prometheusrules"):
            text = (tmp_path / "out" / kind / source.name).read_text(encoding="utf-8")
            assert "bais.example/" not in text
            assert ('labels: {"release"' in text or '"labels": {"release": "prometheus"}' in text) == (
                kind != "rules"
            )
            rules.append(load(text))
        plain, *others = [
            [(one.name.value, one.expr.value, one.for_s, one.group) for one in file.rules] for file in rules
        ]
        assert others == [plain, plain]
        links = [one.annotations["runbook_url"].value for one in rules[2].rules if one.is_alert]
        assert all(link.startswith("https://wiki.example.com/r/") and link.count("//") == 1 for link in links)
    for kind in ("rules", "prometheusrules"):
        assert run_command("monitoring", "check", "--strict", f"out/{kind}", folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("name", "text", "words", "message"),
    [
        ("a.yaml", alert("x >"), (), "a.yaml:5:15: Broken: "),
        ("A_b.yaml", alert("x > 1"), (), "A_b can't name an object"),
        ("a.yaml", alert("x > 1"), ("--runbooks=wiki",), "wiki: not an address"),
        ("a.yaml", "apiVersion: v1\nkind: PrometheusRule\nspec: {}\n", (), "a.yaml: already an object"),
        ("a.yaml", "---\n" + alert("x > 1"), (), "Remove ---"),
        ("a.yaml", alert("x > 1"), ("--out=a.yaml",), "Give another folder to --out"),
        ("a.yaml", alert("x > 1"), ("--label=x",), "is not NAME=VALUE"),
    ],
)
def test_what_is_not_rendered(
    tmp_path: Path, name: str, text: str, words: tuple[str, ...], message: str
) -> None:
    """A file that would not be loaded, and a value that means nothing, end with 2; nothing is written."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    done = run_command(
        "monitoring", "render", name, "--out=out", "--runbooks=https://r.example", *words, folder=tmp_path
    )

    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_one_name_inside_another(tmp_path: Path) -> None:
    """An alert whose name begins with another alert's name keeps its own runbook."""
    one = alert("x > 1").replace("https://r.example/a", "https://r.example/Broken")
    two = (
        alert("y > 1")
        .replace("https://r.example/a", "https://r.example/BrokenTwice")
        .replace(": Broken\n", ": BrokenTwice\n")
    )
    (tmp_path / "a.yaml").write_text(one + two.partition("rules:\n")[2], encoding="utf-8")

    run_command(
        "monitoring", "render", "a.yaml", "--out=out", "--runbooks=https://w.example", folder=tmp_path
    )

    rendered = load((tmp_path / "out" / "rules" / "a.yaml").read_text(encoding="utf-8"))
    links = [rule.annotations["runbook_url"].value for rule in rendered.rules]
    assert links == ["https://w.example/Broken", "https://w.example/BrokenTwice"]
