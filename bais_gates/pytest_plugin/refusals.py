"""What a deciding run refuses, as it hides failures or lets out what was not redacted yet."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.verdict.model import Code, Reason

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An option that is refused for some of its values."""

    name: str
    """As people write it."""
    option: str
    """Its attribute on pytest's options."""
    refuses: Callable[[Any], bool]
    why: str
    remedy: str = ""


_LOCAL = re.compile(r"(?:[0-9]+\*)?popen(?://(?!via=)[^/]*(?:/[^/]+)*)*")
"""A worker of xdist that is a process of this machine, not one by way of another."""
_GUARDS = ("filterwarnings", "required_plugins", "max_warnings")


def _set(value: object) -> bool:
    return bool(value)


def _lenient(filters: object) -> bool:
    return any(not str(one).startswith("error") for one in filters) if isinstance(filters, list) else False


def _remote(specs: object) -> bool:
    return isinstance(specs, list) and not all(_LOCAL.fullmatch(str(one)) for one in specs)


def _of_guards(overrides: object) -> bool:
    return (
        any(str(one).split("=")[0].strip() in _GUARDS for one in overrides)
        if isinstance(overrides, list)
        else False
    )


_RETRY = "a gate has one attempt: what passes only sometimes is not proven"
_WARN = "a failure in a thread or a destructor shows as a warning alone"
_EXIT = "it overwrites the exit status"
_OUTPUT = "it shows or keeps what gates print before it is redacted"
_TABLE = (
    _Refusal("--reruns", "reruns", _set, _RETRY, "Leave it out; where addopts has it, add --reruns=0."),
    _Refusal("--only-rerun", "only_rerun", _set, _RETRY),
    _Refusal("--retries", "retries", _set, _RETRY),
    _Refusal("--force-flaky", "force_flaky", _set, _RETRY),
    _Refusal("--flake-finder", "flake_finder_enable", _set, _RETRY),
    _Refusal("-W/--pythonwarnings", "pythonwarnings", _lenient, _WARN, "Leave it out, or use -W error."),
    _Refusal("--disable-warnings", "disable_warnings", _set, _WARN),
    _Refusal(
        f"-o/--override-ini of {', '.join(_GUARDS)}",
        "override_ini",
        _of_guards,
        "it takes a guard out of the project",
    ),
    _Refusal("--assert=plain", "assertmode", lambda mode: mode == "plain", "it takes away what assert says"),
    _Refusal(
        "--dist",
        "dist",
        lambda dist: dist in {"each", "loadgroup"},
        "each runs a gate many times, and loadgroup hangs when a worker dies",
        "Use --dist load, loadscope, loadfile or worksteal.",
    ),
    _Refusal("--tx", "tx", _remote, "workers elsewhere cannot share the ledger"),
    _Refusal("--looponfail", "looponfail", _set, "it runs gates again"),
    _Refusal("--forked", "forked", _set, "what a forked test records is lost with it"),
    _Refusal("--boxed", "boxed", _set, "what a forked test records is lost with it"),
    _Refusal("--suppress-tests-failed-exit-code", "suppress_tests_failed_exit_code", _set, _EXIT),
    _Refusal("--suppress-no-test-exit-code", "suppress_no_test_exit_code", _set, _EXIT),
    _Refusal("--nagios", "nagios", _set, _EXIT),
    _Refusal(
        "-s/--capture=no/tee-sys",
        "capture",
        lambda capture: capture in {"no", "tee-sys"},
        _OUTPUT,
        "Leave it out; where addopts has it, add --capture=fd.",
    ),
    _Refusal("--log-cli-level", "log_cli_level", _set, _OUTPUT),
    _Refusal("--log-file", "log_file", _set, _OUTPUT),
    _Refusal("--debug", "debug", _set, _OUTPUT),
    _Refusal("--pastebin", "pastebin", _set, "it publishes the run's output"),
)
_PLUGINS_THAT_MUST_BE = {
    "warnings": _WARN,
    "unraisableexception": _WARN,
    "threadexception": _WARN,
    "capture": _OUTPUT,
}
_INI = (
    ("reruns", "0", _RETRY),
    ("retries", "0", _RETRY),
    ("log_cli", "false", _OUTPUT),
    ("log_file", "", _OUTPUT),
)


def refusals(config: pytest.Config, options: object) -> tuple[Reason, ...]:
    """Return a reason for every refused option, plugin, ini key and interpreter flag of this run."""
    return tuple(_found(config, options))


def _found(config: pytest.Config, options: object) -> Iterator[Reason]:
    for refusal in _TABLE:
        if refusal.refuses(getattr(options, refusal.option, None)):
            yield _reason(refusal.name, refusal.why, refusal.remedy)
    for name, why in _PLUGINS_THAT_MUST_BE.items():
        if config.pluginmanager.is_blocked(name):
            yield _reason(f"-p no:{name}", why)
    for name in ("flaky", "pytest_flaky", "flaky.flaky_pytest_plugin"):
        if config.pluginmanager.hasplugin(name):
            yield _reason("the plugin flaky", _RETRY, "Add -p no:flaky, or uninstall it.")
            break
    for key, off, why in _INI:
        if _ini(config, key):
            remedy = f"Leave it out, or add -o {key}={off} to the run that decides."
            yield _reason(f"the ini key {key}", why, remedy)
    yield from interpreter_refusals()


def interpreter_refusals() -> Iterator[Reason]:
    """Yield why the interpreter of this process is refused."""
    if sys.flags.optimize:
        yield _reason("python -O (or PYTHONOPTIMIZE)", "it takes every assert away")


def _ini(config: pytest.Config, key: str) -> object:
    try:
        value = config.getini(key)
    except (KeyError, ValueError):  # no plugin declares it
        return None
    return None if value in {"0", "false", "False"} else value


def _reason(what: str, why: str, remedy: str = "") -> Reason:
    return Reason(
        code=Code.REFUSED_OPTION,
        message=f"{what} is refused in a run that decides: {why}.",
        remedy=remedy or "Leave it out.",
    )
