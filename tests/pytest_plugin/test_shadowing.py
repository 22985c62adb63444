"""Which definitions of a file hide a test, and which only look like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from bais_gates.pytest_plugin.shadowing import hidden_tests

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pytest_plugin.conftest import Project

GATE = "import pytest\n@pytest.mark.gate('a')\ndef test_a(evidence):\n    pass\n"
METHOD = "class {}:\n    def test_a(self):\n        pass\n"


class Config:
    """What is asked of pytest's configuration."""

    def __init__(self, root: Path) -> None:
        self.rootpath = root

    def getini(self, _name: str) -> list[str]:
        """Return the patterns of the names of tests."""
        return ["test", "prove_*"]


def found(folder: Path, text: str) -> list[str]:
    """Return the messages about a file with this text."""
    path = folder / "test_gates.py"
    path.write_text(text, encoding="utf-8")
    reasons = hidden_tests([path, path], [], cast("pytest.Config", Config(folder)))
    assert {reason.code.value for reason in reasons} <= {"COLLECTION_ERROR"}
    return [reason.message for reason in reasons]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GATE + "def test_a():\n    pass\n", 5),
        (GATE + "async def test_a():\n    pass\n", 5),
        (GATE + "class test_a:\n    pass\n", 5),
        (GATE + "test_a = None\n", 5),
        (GATE + "test_a: object = None\n", 5),
        (GATE + "del test_a\n", 5),
        (GATE + "import other as test_a\n", 5),
        (GATE + "from other import test_a\n", 5),
        (GATE + "try:\n    pass\nfinally:\n    def test_a():\n        pass\n", 8),
        (GATE + "if 1:\n    pass\nelse:\n    def test_a():\n        pass\n", 8),
        (GATE + "test_a = print(test_a.__name__)\n", 5),
        (GATE + "for test_a in ():\n    pass\n", 5),
        (GATE + "(test_a := None)\n", 5),
        (GATE + "with open('x') as (test_a, other):\n    pass\n", 5),
        (GATE + "def test_ａ():\n    pass\n", 5),
        (GATE.replace("test_a", "prove_a") + "def prove_a():\n    pass\n", 5),
        (GATE.replace("\n", "\r\n") + "def test_a():\r\n    pass\r\n", 5),
    ],
)
def test_a_name_that_is_bound_again(tmp_path: Path, text: str, line: int) -> None:
    """The file and the lines of both are named, however the name is bound."""
    [message] = found(tmp_path, text)

    assert message.startswith("test_gates.py: ")
    assert f"is bound in lines 3 and {line}: " in message


def test_a_class_that_is_bound_again(tmp_path: Path) -> None:
    """A second class of the same name hides all tests of the first; a method hides one of its own class."""
    group = "class TestA:\n    def test_a(self, evidence):\n        pass\n"

    assert "TestA is bound in lines 1 and 5: " in found(tmp_path, f"{group}# gate\n{group}")[0]
    assert (
        "test_a is bound in lines 2 and 5: "
        in found(tmp_path, f"{group}# gate\n    def test_a(self): pass\n")[0]
    )


@pytest.mark.parametrize(
    "text",
    [
        GATE + "def helper():\n    test_a = 1\n    return test_a\n",
        GATE + "NAMES = [test_a for test_a in ()]\n",
        GATE + METHOD.format("TestA") + METHOD.format("TestB(TestA)"),
        GATE + "def helper():\n    '''As test_a.'''\ndef helper():\n    pass\n",
        GATE + "    assert (1 == 1)\n    assert ()\nclass Case:\n    pass\nclass Case:\n    pass\n",
        "if 1:\n    def test_a():  # gate\n        pass\nelse:\n    def test_a():\n        pass\n",
        "if 1:\n    import test_a  # gate\nelif 2:\n    def test_a():\n        pass\nelse:\n    test_a = 1\n",
        GATE + "test_a = pytest.mark.slow(test_a)\n",
        GATE + "try:\n    import fast\nexcept ImportError:\n    fast = None\nprint(test_a)\n",
    ],
)
def test_names_that_hide_no_test(tmp_path: Path, text: str) -> None:
    """The same name in another scope or branch, and other names that are bound twice, hide no test."""
    assert found(tmp_path, text) == []


def test_an_assert_of_a_tuple(tmp_path: Path) -> None:
    """An assert that is always true is named with its line."""
    [message] = found(tmp_path, GATE + "    assert (\n        1 == 2,\n        'not equal',\n    )\n")

    assert "the assert in line 5 is of a tuple" in message


WRAPPED = """
def bare(test):
    def inner(evidence):
        test(evidence)
    return inner

class Kept:
    def __init__(self, test):
        self.test = test

    def call(self, evidence):
        self.test(evidence)

def kept(test):
    one = Kept(test)
    def outer(evidence):
        one.call(evidence)
    return outer

class Base:
    @pytest.mark.gate("acceptance.inherited")
    def test_inherited(self, evidence):
        evidence.check("one", 1, "==", 1)

class TestInherited(Base):
    pass

@pytest.mark.gate("acceptance.bare")
@bare
def test_bare(evidence):
    evidence.check("one", 1, "==", 1)

@pytest.mark.gate("acceptance.kept")
@kept
def test_kept(evidence):
    evidence.check("one", 1, "==", 1)
"""


def test_decorated_gates_are_no_hidden_ones(project: Project) -> None:
    """A gate that a decorator wraps in any way, or a class inherits, is what pytest collected."""
    project.catalog(bare={}, kept={}, inherited={})
    project.tests(WRAPPED)

    assert project.run("-m", "golive").outcomes == dict.fromkeys(("bare", "kept", "inherited"), "PASS")
