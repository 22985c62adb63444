"""The exit status that the process ends with, also where no session was held or another hook changed it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.closing import show
from bais_gates.pytest_plugin.keys import decision_key
from bais_gates.pytest_plugin.watch import in_words
from bais_gates.verdict.model import Code, Reason, Verdict

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.opening import Opening

_AGAIN = "Run the whole scope again."


class LastWord:
    """Registered with the beginning of a deciding run, around pytest's main loop."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Return the decision's exit status; block what ended without a decision."""
        try:
            result = yield
        except pytest.UsageError as error:
            sys.stderr.write("".join(f"ERROR: {line}\n" for line in error.args))
            return self._ended_by(config, error)
        except BaseException as error:
            self._ended_by(config, error)
            raise
        if decision_key not in config.stash and not self._opening.fatal:
            broken = int(result or 0) == int(pytest.ExitCode.INTERNAL_ERROR)
            text = f"pytest ended with status {int(result or 0)}, and no session of tests came to its end."
            decision = self._block(config, Code.INTERNAL_ERROR if broken else Code.RUN_INCOMPLETE, text)
            show(config, decision)
            return int(decision.exit_status)
        return int(config.stash[decision_key].exit_status)

    def _ended_by(self, config: pytest.Config, error: BaseException) -> int:
        """Block, unless the session did, with more to say."""
        known = config.stash.get(decision_key, None)
        if known is None or known.verdict is Verdict.DEPLOY:
            known = self._block(config, Code.RUN_ABORTED, f"pytest did not start: {in_words(error)}")
        return int(known.exit_status)

    def _block(self, config: pytest.Config, code: Code, message: str) -> Any:
        return self._opening.block(config, [Reason(code=code, message=message, remedy=_AGAIN)], ended=True)


class Refusal:
    """Ends a run that may not begin, with every reason, before any test is collected."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Show the decision and return its exit status."""
        decision = self._opening.decision
        if decision is None:
            decision = self._opening.block(config, self._opening.fatal)
        config.stash[decision_key] = decision
        show(config, decision)
        return int(decision.exit_status)
