"""Write docs/rules.md from the gates: the rules that each one judges by, and their published sources.

Run ``python docs/rules.py`` after a change of a rule; a test holds the two together.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

ROOT = Path(__file__).parents[1]
PHASES = ("staging", "checklist")
READERS = ("kubernetes.objects.", "kubernetes.quantities.")
"""Modules whose functions read objects and judge nothing."""
JUDGEMENTS = ("_findings", "_faults", "violations")
"""How the names of functions end that must have a source."""
TARGET = ROOT / "docs" / "rules.md"
HEAD = """\
# Rules and their sources

Written by `python docs/rules.py` from the gates of the phases staging and checklist: the rules (pure
functions in `bais_gates/rules`) that each gate calls, what they find, and the published source they follow.
"""
SOURCE = re.compile(r"\bSources?:\s(.+)", re.DOTALL)


def sentence(text: str) -> str:
    """Return the first sentence of a docstring, for a table cell."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).replace("|", "\\|").rstrip(".")


def source(rule: FunctionType) -> str:
    """Return what follows "Source:" in the docstring of a rule, or else of its module; "" without one."""
    module = inspect.getmodule(rule)
    for documented in (rule, module):
        for paragraph in (inspect.getdoc(documented) or "").split("\n\n"):
            if found := SOURCE.search(paragraph):
                return " ".join(found[1].split()).replace("|", "\\|").rstrip(".")
    return ""


def name(rule: FunctionType) -> str:
    """Return a rule's module and name, as in ``kubernetes.rbac.binding_findings``."""
    return f"{rule.__module__.removeprefix('bais_gates.rules.')}.{rule.__name__}"


def is_judgement(rule: FunctionType) -> bool:
    """Return whether a function judges, and does not only read or write for others."""
    return not name(rule).startswith(READERS) and bool(source(rule) or rule.__name__.endswith(JUDGEMENTS))


def called(path: Path) -> Iterator[FunctionType]:
    """Yield the rules that a gate's file names, in the order in which it names them first."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bais_gates.rules"):
            package = importlib.import_module(node.module or "")
            names |= {alias.asname or alias.name: getattr(package, alias.name) for alias in node.names}
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
    seen = set()
    for node in sorted(uses, key=lambda one: (one.lineno, one.col_offset)):
        if isinstance(node, ast.Name):
            rule = names.get(node.id)
        else:
            module = names.get(node.value.id) if isinstance(node.value, ast.Name) else None
            rule = getattr(module, node.attr, None) if isinstance(module, ModuleType) else None
        if isinstance(rule, FunctionType) and rule not in seen and is_judgement(rule):
            seen.add(rule)
            yield rule


def rules() -> Iterator[tuple[str, FunctionType]]:
    """Yield each pair of a gate and a rule that it calls, gate by gate."""
    for phase in PHASES:
        for path in sorted((ROOT / "gates" / phase).glob("test_*.py")):
            for rule in called(path):
                yield f"{phase}.{path.stem.removeprefix('test_')}", rule


def document() -> str:
    """Return the whole document."""
    parts, last = [HEAD], ""
    for gate, rule in rules():
        if gate != last:
            parts.append(f"\n## {gate}\n\n| rule | what it does | source |\n| --- | --- | --- |\n")
            last = gate
        parts.append(f"| `{name(rule)}` | {sentence(rule.__doc__ or '')} | {source(rule)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
