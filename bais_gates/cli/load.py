"""``bais-gates load``: prepare accounts for a load run, do one, show one, join one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bais_gates.cli.common import add_environment, duration
from bais_gates.errors import GateInputError
from bais_gates.measuring import alone_on_this_machine

if TYPE_CHECKING:
    from bais_gates.bais.load import LoadRun
    from bais_gates.targets.target import Target

GATES = Path("gates")
OUT = Path("gate-report", "load")
BASELINE = GATES / "load" / "baseline.json"
RUN = """\
Load the target with users that send at fixed times, and print what was measured: accepted requests a second,
and latencies from the moment each request was due, beside the plain ones. The folder then holds the record
(requests.jsonl), Locust's own page (locust.html) and the figures as Prometheus text (load.prom). Without
options it is the run that the gates of phase load judge.

Touches: the target. It takes payments with test cards, and configures webhooks that it disables at the end. A
production environment without a test tenant is refused.

Exit status: 0 measured, whatever the figures; 2 wrong input, or the run could not be done; 130 interrupted,
with no process left."""
PREPARE = """\
Register businesses through the API, each with a workflow and API keys, and write them to the file that
load.accounts of the environment file names (mode 0600). A sandbox has its own accounts.

Touches: the target, with new businesses; that file."""
WORKER = """\
Join a master as a worker, from another machine: a master is Locust itself, started by
`locust -f gates/load/locustfile.py --master --host URL`. Ends when the master does.

Touches: the target."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    top = commands.add_parser("load", help="load the target, and measure it truthfully", description=__doc__)
    actions = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    run = _action(actions, "run", "load the target", RUN)
    add_environment(run)
    run.add_argument(
        "--duration", type=_duration, metavar="DURATION", help="judged time, as 90s or 10m (20s)"
    )
    run.add_argument(
        "--ramp", type=duration, metavar="DURATION", help="time to start all users (default: 6s)"
    )
    run.add_argument("--rate", type=_positive, metavar="N", help="requests/s (capacity.requests_per_s)")
    run.add_argument("--users", type=_whole, metavar="N", help="users at once (capacity.users)")
    run.add_argument(
        "--workers", type=_whole, default=1, metavar="N", help="generating processes (default: 1)"
    )
    run.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    run.set_defaults(command=run_load)
    prepare = _action(actions, "prepare", "make the accounts of a load run", PREPARE)
    add_environment(prepare)
    prepare.add_argument("--keys", type=_whole, default=1000, metavar="N", help="API keys (default: 1000)")
    prepare.set_defaults(command=run_prepare)
    report = _action(actions, "report", "print the figures of a load run", "Print what a load run measured.")
    report.add_argument("directory", type=Path, nargs="?", default=OUT, metavar="DIR", help=f"default: {OUT}")
    report.add_argument(
        "--baseline",
        metavar="ENVIRONMENT",
        help=f"compare later runs against that environment with this one: writes {BASELINE}",
    )
    report.set_defaults(command=run_report)
    worker = _action(actions, "worker", "generate load for a master elsewhere", WORKER)
    worker.add_argument("--master", required=True, metavar="HOST[:PORT]", help="default port: 5557")
    worker.add_argument("--accounts", type=Path, metavar="FILE", help="what `load prepare` wrote")
    worker.add_argument("--ca-file", type=Path, metavar="FILE", help="authority of the target's certificate")
    worker.set_defaults(command=run_worker)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, description: str
) -> argparse.ArgumentParser:
    return actions.add_parser(
        name, help=text, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_load(arguments: argparse.Namespace) -> int:
    """Load the target and print the figures."""
    from bais_gates.bais import load  # noqa: PLC0415 - other commands do not need these modules
    from bais_gates.bais.api import TargetRefused, Unreachable, open_api  # noqa: PLC0415 - as above
    from bais_gates.targets.target import unreachable  # noqa: PLC0415 - as above

    target = _target(arguments.env)
    plan = load.plan_for(
        target.environment,
        measured_s=arguments.duration,
        rate_per_s=arguments.rate,
        users=arguments.users,
        ramp_s=arguments.ramp,
    )
    accounts = target.environment.load.accounts if target.environment.describes("load") else None
    if accounts is None:
        raise target.environment.missing("load.accounts")
    api = open_api(target)
    try:
        with alone_on_this_machine(_show):
            done = load.carry_out(
                target.environment,
                api,
                plan,
                arguments.out,
                gates_dir=GATES,
                accounts_file=accounts,
                workers=arguments.workers,
                progress=_show,
            )
    except Unreachable as error:
        raise GateInputError(unreachable(target.environment, error)) from None
    except TargetRefused as error:
        raise GateInputError(str(error)) from None
    finally:
        api.http.close()
    _print(done)
    return 0


def run_prepare(arguments: argparse.Namespace) -> int:
    """Make the accounts and print where they are."""
    from bais_gates.bais import load  # noqa: PLC0415 - see run_load
    from bais_gates.bais.api import TargetRefused, Unreachable, open_api  # noqa: PLC0415 - as above
    from bais_gates.targets.target import Unique, unreachable  # noqa: PLC0415 - as above

    target = _target(arguments.env)
    part = target.environment.load if target.environment.describes("load") else None
    if part is None or part.accounts is None:
        raise target.environment.missing("load.accounts")
    api = open_api(target)
    try:
        unique = Unique(os.urandom(8).hex())
        load.prepare_accounts(api, unique, part.accounts, keys=arguments.keys, progress=_show)
    except Unreachable as error:
        raise GateInputError(unreachable(target.environment, error)) from None
    except TargetRefused as error:
        raise GateInputError(str(error)) from None
    finally:
        api.http.close()
    print(f"{arguments.keys:,} API keys are in {part.accounts}.")
    return 0


def run_report(arguments: argparse.Namespace) -> int:
    """Print the figures of a run that was done before."""
    from bais_gates.bais import load  # noqa: PLC0415 - see run_load

    done = load.read_run(arguments.directory)
    _print(done)
    if arguments.baseline is not None:
        _write_baseline(done, arguments.baseline)
    return 0


def _write_baseline(done: LoadRun, environment: str) -> None:
    """Accept a run as what later ones of an environment are compared with."""
    from bais_gates.load.report import baseline_of  # noqa: PLC0415 - see run_load

    try:
        known = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
        known[environment] = baseline_of(done.result)
        BASELINE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        raise GateInputError(f"{BASELINE}: {error}. Correct the file, or remove it.") from None
    print(f"Later runs against {environment} are compared with this one: {BASELINE}")


def run_worker(arguments: argparse.Namespace) -> NoReturn:
    """Become a worker of Locust."""
    from bais_gates.load.plan import VARIABLE, Plan  # noqa: PLC0415 - see run_load

    host, _, port = arguments.master.partition(":")
    paths = {"accounts": arguments.accounts, "ca_file": arguments.ca_file}
    told = {name: str(path.absolute()) for name, path in paths.items() if path is not None}
    os.environ.setdefault(VARIABLE, Plan().encoded(**told))
    join = ("--worker", "--master-host", host, "--master-port", port or "5557")
    command = [sys.executable, "-m", "locust", "-f", str(GATES / "load" / "locustfile.py"), *join]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - Locust of this very Python, no shell


def _target(name: str) -> Target:
    from bais_gates.cli.stage_run import environment_of  # noqa: PLC0415 - see run_load
    from bais_gates.targets.target import Target  # noqa: PLC0415 - as above

    environment = environment_of(name)
    if environment.without_tenant:
        raise GateInputError(
            f"{environment.path}: a load run writes, and production has no test_tenant here. Load staging."
        )
    return Target(environment=environment, gates_dir=GATES)


def _show(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(done: LoadRun) -> None:
    from bais_gates.load.report import table  # noqa: PLC0415 - see run_load

    result = done.result
    print(table(result))
    for number, window in enumerate(result.windows, 1):
        if reason := window.starved():
            print(f"window {number}: {reason}; a bad figure in it proves nothing of the target")
    if result.lost_workers:
        print(f"workers that were lost: {', '.join(result.lost_workers)}")
    for text, count in result.faults().items():
        print(f"{count:,} times: {text}")
    for text, count in result.exceptions.items():
        print(f"{count:,} exceptions in the script: {text}")
    print(f"The record, Locust's page and load.prom are in {done.directory}.")


def _duration(text: str) -> float:
    seconds = duration(text)
    if seconds < 5:
        raise argparse.ArgumentTypeError("must be 5s at least")
    return seconds


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
