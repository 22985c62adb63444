"""Write docs/bypass.md from tests/bypass: every way round the gate that is tried there, and what it meets.

Run ``python docs/bypass.py`` after a change of those tests; a test holds the two together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "bypass"
TARGET = ROOT / "docs" / "bypass.md"
HEAD = """\
# Ways round the gate

Written by `python docs/bypass.py` from `tests/bypass`: each row is a test that tries it, then asks
`bais-gates verify` as a pipeline would. A code in the last column stands in `decision.json` and sets the exit
status beside it; where the process can't see it from inside, verify refuses what was left behind.
"""


def answer(function: ast.FunctionDef) -> str:
    """Return what the test expects: the reason's code and exit status, or verify's refusal."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "blocks":
            status = next(ast.literal_eval(k.value) for k in node.keywords if k.arg == "status")
            return f"`{ast.literal_eval(node.args[0])}`, {status}"
    return "refused by `verify`"


def rows(path: Path) -> Iterator[str]:
    """Yield a table row for each test of a file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            both = any("serial_and_" in ast.unparse(decorator) for decorator in node.decorator_list)
            text = " ".join((ast.get_docstring(node) or "").split()).replace("|", "\\|")
            yield f"| {text} | {'serial and `-n 2`' if both else 'serial'} | {answer(node)} |"


def document() -> str:
    """Return the whole document."""
    parts = [HEAD]
    for path in sorted(TESTS.glob("test_*.py")):
        title = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        parts.append(f"## {title.removeprefix('Ways round the gate ').rstrip('.').capitalize()}\n")
        parts.append("| way | tried | met by |\n| --- | --- | --- |\n" + "\n".join(rows(path)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
