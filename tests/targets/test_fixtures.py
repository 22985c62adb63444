"""The plugin's target fixtures, in a project that has only a catalog and an environment file."""

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
    evidence.check("PING latency", cache.ping_ms(), "<=", 1000)


@pytest.mark.gate("acceptance.limits")
def test_limits(environment, limits, unique, evidence):
    evidence.check("concurrency", limits.concurrency, "==", 7)
    evidence.check("parts", sorted(environment.parts), "==", ["database", "limits"])
    evidence.check("names", unique.word(), "!=", unique.word())
"""


def test_target_fixtures_come_from_the_plugin(tmp_path: Path) -> None:
    """A described part is available; an absent library or part is an ERROR that names the remedy."""
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
    assert "stub.yaml: cache is missing, and a gate needs it" in ran.output
