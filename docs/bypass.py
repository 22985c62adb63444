"""Write docs/bypass.md from tests/bypass: every way round the gate that is tried there, and what it meets.

Run ``python docs/bypass.py`` after a change of those tests; a test holds the two together.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "bypass"
TARGET = ROOT / "docs" / "bypass.md"
HEAD = """\
# Ways round the gate

Written by `python docs/bypass.py` from `tests/bypass`: each row is a test that tries it, then asks
`bais-gates verify` as a pipeline would. A code in the last column stands in `decision.json` and sets the exit
status beside it; where the process can't see it from inside, verify refuses what was left behind, for the
reason after the colon if the test names one.
"""


def answer(function: ast.FunctionDef) -> str:
    """Return what the test expects: the reason's code and exit status, DEPLOY, or verify's refusal."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    for node in calls:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "blocks":
            status = next(ast.literal_eval(k.value) for k in node.keywords if k.arg == "status")
            return f"`{ast.literal_eval(node.args[0])}`, {status}"
    asserts = [node.test for node in ast.walk(function) if isinstance(node, ast.Assert)]
    codes = one_of(f"`{code}`" for test in asserts for code in codes_in(test))
    if statuses := one_of(str(status) for test in asserts for status in statuses_in(test)):
        return f"{codes or '`BLOCK`'}, {statuses}"
    text = ast.unparse(function)
    if codes or any(refusal in text for refusal in ("verify_refuses", "returncode != 0", "returncode == 1")):
        return "refused by `verify`" + (f": {codes}" if codes else "")
    if "status == 0" in text or "== (0, 0)" in text:
        return "`DEPLOY`, 0"
    raise ValueError(f"{function.name} asserts nothing that this document has words for")


def one_of(words: Iterable[str]) -> str:
    """Return words as people list them, each once."""
    *most, last = dict.fromkeys(words) or [""]
    return f"{', '.join(most)} or {last}" if most else last


def codes_in(test: ast.expr) -> Iterator[str]:
    """Yield the codes that an assertion names, which come before a message if there is one."""
    for node in ast.walk(test):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            code = node.value.partition(":")[0]
            if re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code) and code not in {"DEPLOY", "BLOCK", "REFUSED"}:
                yield code


def statuses_in(test: ast.expr) -> Iterator[int]:
    """Yield the exit statuses of a BLOCK that an assertion admits."""
    match test:
        case ast.Compare(
            left=ast.Attribute(value=ast.Name("ran"), attr="status"),
            ops=[ast.Eq() | ast.In()],
            comparators=[admitted],
        ):
            statuses = ast.literal_eval(admitted)
            yield from sorted((statuses if isinstance(statuses, set) else {statuses}) - {0})


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
