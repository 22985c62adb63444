"""``bais-gates sandbox``: the embedded platform for as long as one wants it."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from types import ModuleType

from bais_gates.errors import GateInputError

DEFAULT_MANIFESTS = Path("gates/staging/manifests/overlays/sandbox")
DESCRIPTION = """\
Start, look at and stop the sandbox: the BAIS platform in small (API, PostgreSQL, Redis) on free loopback
ports, and beside it a small Kubernetes cluster in which the same processes are pods (with KUBEBUILDER_ASSETS
set, on that folder's real API server). It stays up until `down`. `up` writes an environment file, so that any
run, or any other tool, can be pointed at it."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser and those of its actions."""
    parser = commands.add_parser(
        "sandbox",
        help="start, look at, break or stop the sandbox",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--name", default="default", help="name of the sandbox (default: %(default)s)")
    where.add_argument("--dir", type=Path, metavar="DIR", help="its folder (default: one of the user's own)")

    up = actions.add_parser("up", parents=[where], help="start it and say how to point a run at it")
    up.add_argument("--environment", type=Path, metavar="FILE", help="also write its environment file here")
    up.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="start it broken (repeatable)"
    )
    cluster = up.add_mutually_exclusive_group()
    cluster.add_argument("--without-cluster", action="store_true", help="start the platform alone")
    cluster.add_argument(
        "--manifests",
        type=Path,
        metavar="DIR",
        help=f"the overlay that its cluster runs (default: {DEFAULT_MANIFESTS}, if it is there)",
    )
    up.set_defaults(command=_up)
    actions.add_parser("status", parents=[where], help="say what runs").set_defaults(command=_status)
    actions.add_parser("down", parents=[where], help="stop it, leave nothing").set_defaults(command=_down)
    actions.add_parser("faults", help="list the ways it can be broken").set_defaults(command=_faults)
    fault = actions.add_parser("fault", parents=[where], help="break or mend the running one")
    fault.add_argument("on", nargs="*", metavar="NAME", help="faults to switch on")
    fault.add_argument("--off", action="append", default=[], metavar="NAME", help="switch this one off")
    fault.add_argument("--clear", action="store_true", help="switch all off first")
    fault.set_defaults(command=_fault)


def _load(name: str) -> ModuleType:
    """Import a module of the sandbox, whose libraries only machines that run it have."""
    try:
        return import_module(f"bais_gates.sandbox.{name}")
    except ModuleNotFoundError as error:
        message = f"the sandbox needs the library {error.name}: install the project with its extra `sandbox`"
        raise GateInputError(message) from None


def _up(arguments: argparse.Namespace) -> int:
    up = _load("commands").up
    manifests = None if arguments.without_cluster else _manifests(arguments.manifests)
    return int(
        up(arguments.dir, arguments.environment, arguments.fault, name=arguments.name, manifests=manifests)
    )


def _manifests(named: Path | None) -> Path | None:
    """Give the overlay to apply, absolute; None when none is named and the project's is not here."""
    folder = named or DEFAULT_MANIFESTS
    if (folder / "kustomization.yaml").is_file():
        return folder.absolute()
    if named is not None:
        raise GateInputError(f"--manifests {named}: there is no kustomization.yaml in it")
    return None


def _status(arguments: argparse.Namespace) -> int:
    return int(_load("commands").status(arguments.dir, name=arguments.name))


def _down(arguments: argparse.Namespace) -> int:
    return int(_load("commands").down(arguments.dir, name=arguments.name))


def _fault(arguments: argparse.Namespace) -> int:
    chosen = {"on": arguments.on, "off": arguments.off, "clear": arguments.clear}
    return int(_load("commands").fault(arguments.dir, name=arguments.name, **chosen))


def _faults(arguments: argparse.Namespace) -> int:
    del arguments
    for fault in _load("faults").FAULTS.values():
        print(f"{fault.name}: {fault.description}\n    turns red: {', '.join(fault.gates)}")
    return 0
