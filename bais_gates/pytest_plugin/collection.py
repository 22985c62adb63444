"""What happens to the tests of gates between collection and selection, in the process that runs them."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.binding import Bound, bind
from bais_gates.pytest_plugin.collected import Collected, collected
from bais_gates.pytest_plugin.keys import binding_key
from bais_gates.pytest_plugin.ordering import put_in_order

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.state import RunState
    from bais_gates.verdict.model import Reason


class Collection:
    """Binds tests to gates, before ``-m`` looks at the marks, and puts what is left in order."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self.bound = Bound(bindings=(), problems=(), refused_marks=())
        self.collected = Collected()
        self.finished = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Bind, let all others select, then order."""
        if any(item.get_closest_marker("gate") is not None for item in items):
            self._bind(session, config, items)
        yield
        put_in_order(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the recorder what will run; under xdist before the controller hears that collection ended."""
        selected = tuple(item.nodeid for item in session.items if binding_key in item.stash)
        self.collected = collected(self.bound, selected)
        self.finished = True
        if self._state.worker is not None and self._state.settings.deciding:
            self._state.shared().put_collection(self._state.worker, self.collected.to_json())

    def _bind(self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
        try:
            catalog = self._state.catalog()
        except GateInputError as error:
            self._refuse(session, config, items, [str(error)])
            return
        self.bound = bind(items, catalog)
        if self.bound.problems and not self._state.settings.deciding:
            self._refuse(session, config, items, [_told(problem) for problem in self.bound.problems])

    @staticmethod
    def _refuse(
        session: pytest.Session, config: pytest.Config, items: list[pytest.Item], texts: list[str]
    ) -> None:
        """Report errors of collection, so that no test runs; the same with and without xdist."""
        for text in texts:
            report = pytest.CollectReport(
                nodeid=session.nodeid or "gates", outcome="failed", longrepr=text, result=[]
            )
            config.hook.pytest_collectreport(report=report)
        items.clear()


def _told(problem: Reason) -> str:
    return f"{problem.code.value}: {problem.message} {problem.remedy}"
