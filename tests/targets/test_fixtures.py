"""The plugin's fixtures of a target, in a project that has nothing but a catalog and an environment file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.pytest_plugin.conftest import Project

if TYPE_CHECKING:
    from pathlib import Path

GATES = """
@pytest.mark.gate("acceptance.database")
def test_database(database, evidence):
    evidence.check("rows", database.value("SELECT 1"), "==", 1)


@pytest.mark.gate("acceptance.cache")
def test_cache(cache, evidence):
    evidence.check("PING", cache.ping_ms(), "<=", 1000)


@pytest.mark.gate("acceptance.limits")
def test_limits(environment, limits, unique, evidence):
    evidence.check("concurrency", limits.concurrency, "==", 7)
    evidence.check("parts", sorted(environment.parts), "==", ["database", "limits"])
    evidence.check("names", unique.word(), "!=", unique.word())
"""


def test_a_gate_gets_its_target_from_the_plugin_alone(tmp_path: Path) -> None:
    """A part is read where it is described; an absent library or part is an ERROR that says what to do."""
    project = Project(tmp_path)
    project.catalog(database={}, cache={}, limits={})
    project.write(
        "gates/environments/stub.yaml",
        """\
        name: stub
        database: {url: "postgresql://reader@127.0.0.1:1/app"}
        limits: {concurrency: 7}
        """,
    )
    project.write("conftest.py", "import sys\n\nsys.modules['psycopg'] = None\n")
    project.tests(GATES)

    ran = project.run()

    assert ran.status == 1
    assert "1 passed, 2 errors" in ran.output
    assert "pip install 'bais-gates[database]'" in ran.output
    assert "stub.yaml: cache is missing, and a gate asks for it" in ran.output
