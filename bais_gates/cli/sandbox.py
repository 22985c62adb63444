"""``bais-gates sandbox``: start, inspect, break and stop an embedded platform that stays up."""

from __future__ import annotations

import argparse
import functools
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path

from bais_gates import sandbox, servers
from bais_gates.cli.common import complain, report
from bais_gates.errors import GateInputError
from bais_gates.targets.environment import load_environment
from bais_gates.targets.provision import apply_rotation

DEFAULT_MANIFESTS = Path("gates/staging/manifests/overlays/sandbox")
DEFAULT_MONITORING = Path("gates/monitoring")
DESCRIPTION = """\
Start, inspect, break and stop the sandbox: a small BAIS platform (API, PostgreSQL, Redis) on free loopback
ports, and a small Kubernetes cluster whose pods are those processes. Where gates/monitoring has rules and an
Alertmanager configuration, Prometheus and Alertmanager run, too. It stays up until `down`. `up` prints the
path of its environment file, with which any run can use it.

With KUBEBUILDER_ASSETS set, the cluster runs the kube-apiserver and etcd of that folder instead of its own
API server.

A fault of the platform (its database, cache, cluster or records) is made once the cluster is up, one of
staging once `bais-gates stage --keep` has provisioned it; switching it off restores what it changed.

Touches: processes that listen on loopback only, and the sandbox's folder; `fetch` the user's cache."""
FETCH = """\
Download Prometheus, Alertmanager and the exporters for nodes, PostgreSQL and Redis from the sources of this
system's apt (Debian, Ubuntu), and unpack them. Programs that are there already are not fetched: those that
BAIS_GATES_PROMETHEUS, BAIS_GATES_ALERTMANAGER, BAIS_GATES_NODE_EXPORTER, BAIS_GATES_POSTGRES_EXPORTER and
BAIS_GATES_REDIS_EXPORTER name, and those in the PATH. If any is missing, all are.

Touches: the network, by apt-get, and the folder bais-gates/servers in $XDG_CACHE_HOME (default: ~/.cache),
104 MB; 300 MB more for some seconds. Needs no root, installs and starts nothing, and leaves apt's lists as
they are."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser and those of its actions."""
    parser = commands.add_parser(
        "sandbox",
        help="start, inspect, break or stop the sandbox",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--name", default="default", help="name of the sandbox (default: %(default)s)")
    where.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="folder of the sandbox (default: by user and name, in $XDG_RUNTIME_DIR or the temporary folder)",
    )

    def add_action(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *, epilog: str | None = None
    ) -> argparse.ArgumentParser:
        action = actions.add_parser(
            name,
            parents=[where],
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.set_defaults(command=run)
        return action

    limits = "\n".join(
        textwrap.fill(f"- {one}", 100, subsequent_indent="  ") for one in sandbox.cluster_limits()
    )
    up = add_action(
        "up",
        _up,
        "start the sandbox and print how to run gates against it",
        epilog=f"The cluster's own API server (without KUBEBUILDER_ASSETS)\n{limits}",
    )
    up.add_argument(
        "--environment", type=Path, metavar="FILE", help="write the environment file to FILE as well"
    )
    up.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="start with this fault on (repeatable)"
    )
    cluster = up.add_mutually_exclusive_group()
    cluster.add_argument(
        "--without-cluster", action="store_true", help="start the API, PostgreSQL and Redis only"
    )
    cluster.add_argument(
        "--manifests",
        type=Path,
        metavar="DIR",
        help=f"overlay that the cluster runs (default: {DEFAULT_MANIFESTS}, if it exists)",
    )
    up.add_argument(
        "--without-monitoring", action="store_true", help="start no Prometheus and no Alertmanager"
    )
    add_action("status", _status, "show the state of each process; exit status 0 if all of them run")
    add_action("down", _down, "stop the sandbox and remove its files")
    fetch = actions.add_parser(
        "fetch",
        help="fetch the programs of its monitoring",
        description=FETCH,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fetch.set_defaults(command=_fetch)
    faults = actions.add_parser("faults", help="list the faults and the gates that each of them fails")
    faults.set_defaults(command=_faults)
    releases = actions.add_parser("releases", help="list the releases that its cluster can roll out")
    releases.set_defaults(command=_releases)
    fault = add_action("fault", _fault, "switch faults of the running sandbox on or off")
    fault.add_argument("on", nargs="*", metavar="NAME", help="fault to switch on")
    fault.add_argument(
        "--off", action="append", default=[], metavar="NAME", help="fault to switch off (repeatable)"
    )
    fault.add_argument("--clear", action="store_true", help="switch all faults off first")


def _report_error(action: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return the action with a ``SandboxError`` printed to standard error, and exit status 1.

    A library that is missing raises ``GateInputError``.
    """

    @functools.wraps(action)
    def run(arguments: argparse.Namespace) -> int:
        try:
            return action(arguments)
        except sandbox.SandboxError as error:
            complain(str(error))
            return 1
        except ModuleNotFoundError as error:
            message = f"the sandbox needs the library {error.name}: pip install 'bais-gates[sandbox]'"
            raise GateInputError(message) from None

    return run


@_report_error
def _up(arguments: argparse.Namespace) -> int:
    manifests = None if arguments.without_cluster else _manifests(arguments.manifests)
    of_its_platform = _platform_faults(arguments.fault, cluster=manifests is not None)
    folder = arguments.dir or sandbox.default_directory(arguments.name, make_parent=True)
    info = sandbox.status(folder)
    if info is not None and info.state == "ready":
        print(f"A sandbox is already up in {folder}.")
    else:
        info = sandbox.start(
            folder,
            owner_pid=None,
            faults=[name for name in arguments.fault if name not in of_its_platform],
            progress=report,
            environment_copy=arguments.environment,
        )
        print(f"The sandbox is up in {folder}.")
    if manifests is not None:
        sandbox.start_cluster(folder, manifests=manifests, progress=report)
        if not arguments.without_monitoring:
            _start_monitoring(folder)
    sandbox.prepare_accounts(folder)
    if of_its_platform:
        sandbox.set_faults(folder, [*info.faults, *of_its_platform])
    _describe(sandbox.status(folder) or info, arguments.environment)
    return 0


def _start_monitoring(folder: Path) -> None:
    """Start the monitoring of a project that has one, or say in a line why there is none."""
    if not (DEFAULT_MONITORING / "alertmanager.yaml").is_file():
        return
    if absent := servers.missing():
        names = ", ".join(servers.COMMANDS[name][-1] for name in absent)
        report(f"no monitoring: there is no {names} here; `bais-gates sandbox fetch` fetches them")
        return
    apply = apply_rotation(folder, DEFAULT_MONITORING.parent)
    sandbox.start_monitoring(folder, artefacts=DEFAULT_MONITORING, provision=apply, progress=report)


def _fetch(arguments: argparse.Namespace) -> int:
    del arguments
    fetched = servers.fetch(report)
    where = f"in {servers.unpacked_folder()}" if fetched else "here already"
    print(f"Prometheus, Alertmanager and their exporters are {where}.")
    return 0


def _platform_faults(names: list[str], *, cluster: bool) -> tuple[str, ...]:
    """Return those of the faults that are made once the cluster is up; raise for one that can't be then."""
    if not names:
        return ()
    from bais_gates.sandbox.platform_faults import check_faults, of_platform  # noqa: PLC0415 - rarely needed

    check_faults(names)
    found, without_staging = of_platform(names), of_platform(names, staged=False)
    if found and not cluster:
        raise GateInputError(
            f"--fault {found[0]} changes the platform's cluster, which is not started: leave out "
            "--without-cluster, or name the overlay that it runs by --manifests"
        )
    if staged := [name for name in found if name not in without_staging]:
        raise GateInputError(
            f"--fault {staged[0]} changes staging, which is not provisioned: run `bais-gates stage --keep`, "
            f"then `bais-gates sandbox fault {staged[0]}`"
        )
    return found


def _manifests(named: Path | None) -> Path | None:
    """Return the absolute path of the overlay to apply; None if none is named and the default is absent."""
    folder = named or DEFAULT_MANIFESTS
    if (folder / "kustomization.yaml").is_file():
        return folder.absolute()
    if named is not None:
        raise GateInputError(f"--manifests {named}: there is no kustomization.yaml in it")
    return None


@_report_error
def _status(arguments: argparse.Namespace) -> int:
    folder = arguments.dir or sandbox.default_directory(arguments.name)
    info = sandbox.status(folder)
    if info is None:
        print(f"No sandbox is up in {folder}. Start one with `bais-gates sandbox up`.")
        return 1
    print(f"The sandbox in {folder} is {info.state}.")
    width = max([9, *map(len, info.parts)])
    for part, state in info.parts.items():
        print(f"  {part:<{width}}  PID {info.pids[part]:<8} {state}")
    if info.state == "abandoned":
        print("Its supervisor was killed. Run `bais-gates sandbox down` to remove what is left.")
    elif info.state == "ready":
        _describe(info, None)
    return 0 if info.state == "ready" and set(info.parts.values()) == {"running"} else 1


@_report_error
def _down(arguments: argparse.Namespace) -> int:
    folder = arguments.dir or sandbox.default_directory(arguments.name)
    was_up = sandbox.status(folder) is not None
    sandbox.stop(folder)
    print(f"The sandbox in {folder} is down." if was_up else f"No sandbox is up in {folder}.")
    if arguments.dir is None and folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return 0


@_report_error
def _fault(arguments: argparse.Namespace) -> int:
    folder = arguments.dir or sandbox.default_directory(arguments.name)
    info = sandbox.status(folder)
    if info is None or info.state != "ready":
        raise sandbox.SandboxError(f"no sandbox is up in {folder}: start one with `bais-gates sandbox up`")
    on, off = arguments.on, arguments.off
    from bais_gates.sandbox.platform_faults import check_faults  # noqa: PLC0415 - for this action only

    check_faults([*on, *off])
    active = [name for name in (*(() if arguments.clear else info.faults), *on) if name not in off]
    if on or off or arguments.clear:
        sandbox.set_faults(folder, active)
    print(f"Active faults: {', '.join(dict.fromkeys(active)) or 'none'}.")
    return 0


def _faults(arguments: argparse.Namespace) -> int:
    del arguments
    from bais_gates.sandbox.platform_faults import ALL_FAULTS  # noqa: PLC0415 - for this action only

    for fault in ALL_FAULTS.values():
        print(f"{fault.name}: {fault.description}\n    fails: {', '.join(fault.gates)}")
    return 0


def _releases(arguments: argparse.Namespace) -> int:
    del arguments
    from bais_gates.sandbox import configuration, images, releases  # noqa: PLC0415 - for this action only

    present = images.api_image()
    print(f"{present}\n    present {configuration.VERSION}: The one that the sandbox starts with.")
    for image, release in releases.by_reference(present).items():
        print(f"{image}\n    {release.name} {release.version}: {release.description}")
    return 0


def _describe(info: sandbox.SandboxInfo, environment_copy: Path | None) -> None:
    """Print the addresses and files of a sandbox, and the command that runs the gates against it."""
    copied = environment_copy is not None and environment_copy.exists()
    file = environment_copy if copied else info.environment_file
    print(f"  API               {info.api_url}")
    print(f"  environment file  {file}")
    print(f"  logs              {info.logs}")
    home = info.directory / "cluster"
    if (home / "ready.json").exists():
        print(f"  cluster           kubectl --kubeconfig {shlex.quote(str(home / 'kubeconfig'))} get pods")
    else:
        print("  cluster           not started; `bais-gates sandbox up` starts it")
    if info.parts.keys() >= {"prometheus", "alertmanager"}:
        monitoring = load_environment(info.environment_file, gates_dir=Path("gates")).monitoring
        print(f"  Prometheus        {monitoring.prometheus_url}")
        print(f"  Alertmanager      {monitoring.alertmanager_url}")
    if info.faults:
        print(f"  active faults     {', '.join(info.faults)}")
    print(f"Run the gates against it: pytest -m golive --gate-env {shlex.quote(str(file))}")
