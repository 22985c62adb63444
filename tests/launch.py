"""Start pytest and ``bais-gates`` without paying for their imports again.

A run of pytest is forked from a process that has imported all but plugins, and is an ordinary process from
then on: it may be killed, leave by ``os._exit`` or change what it likes. It ends like one, too, after its
threads and exit handlers, but without taking its modules apart, which took as long as the run itself. What
is about the interpreter, its options or plugins loaded by entry point needs a new interpreter instead.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bais_gates.cli import main

Done = subprocess.CompletedProcess[str]


def run_pytest(arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_s: float) -> Done:
    """Run ``python -m pytest`` with these arguments in a folder and return its status and output.

    Plugins are loaded by ``-p`` alone. A run that takes longer is killed: subprocess.TimeoutExpired.
    """
    with tempfile.NamedTemporaryFile() as output:
        environment = {**env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": environment,
            "output": output.name,
            "timeout_s": timeout_s,
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = json.loads(server.stdout.readline())
        text = output.read().decode()
    if status is None:
        raise subprocess.TimeoutExpired(list(arguments), timeout_s, text)
    return Done(list(arguments), status, text, "")


def run_command(*words: str, folder: Path) -> Done:
    """Run ``bais-gates`` with these words in this process, as if from a folder."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            status = main(words)
        except SystemExit as error:  # argparse: help and usage errors
            status = int(error.code or 0)
    return Done(list(words), status, stdout.getvalue(), stderr.getvalue())


@functools.cache
def _server() -> subprocess.Popen[str]:
    command = (sys.executable, "-P", __file__)
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)  # the end of its input ends it
    return server


def _import_everything() -> None:
    """Import what every run imports; plugins stay out, as pytest rewrites their assertions on import."""
    from _pytest.config import builtin_plugins  # noqa: PLC0415 - for the server alone

    from bais_gates import pytest_plugin  # noqa: PLC0415 - as above
    from bais_gates.reports import templating  # noqa: PLC0415 - as above
    from bais_gates.verdict import schema  # noqa: PLC0415 - as above

    ours = [module.name for module in pkgutil.iter_modules(pytest_plugin.__path__) if module.name != "plugin"]
    for name in (
        *(f"_pytest.{plugin}" for plugin in builtin_plugins),
        *(f"bais_gates.pytest_plugin.{name}" for name in ours),
        "bais_gates.targets.provision",
        "execnet.multi",
        "pytest_html.selfcontained_report",
    ):
        importlib.import_module(name)
    for template in ("signoff.html", "macros.html", "html_summary.html"):
        templating.environment().get_template(template)
    for kind in ("catalog", "decision", "environment", "policy", "waivers"):
        schema._validator(kind)
        schema._matcher(kind)


def _next_request() -> dict[str, Any]:
    """Serve requests until the end of input; return in a fork that has one to carry out."""
    answers = os.dup(1)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            return request
        ended = os.pidfd_open(pid)
        in_time = bool(select.select([ended], [], [], request["timeout_s"])[0])
        os.close(ended)
        if not in_time:
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(answers, json.dumps(status if in_time else None).encode() + b"\n")
    sys.exit()


def _become_pytest(request: Mapping[str, Any]) -> None:
    """Make this process look as if ``python -m pytest`` had just been started."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(request["output"], os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.path.insert(0, request["folder"])
    sys.argv = ["pytest", *request["arguments"]]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]


def _leave(status: int) -> NoReturn:
    """End as an interpreter does, but for its modules: nothing of ours runs while they are taken apart."""
    threading._shutdown()  # type: ignore[attr-defined] # private, as the next one
    atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)  # which reports that the output could not be written


if __name__ == "__main__":
    _import_everything()
    gc.freeze()  # a fork's collections need not look at any of it again
    _become_pytest(_next_request())
    import pytest

    _leave(pytest.main())
