"""``bais-gates oncall``: who is on call, and the runbooks."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.cli import oncall_metrics, oncall_render
from bais_gates.cli.common import add_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.oncall.plan import Plan
    from bais_gates.oncall.rotation import Rotation
    from bais_gates.oncall.status_page import StatusPage
    from bais_gates.targets.parts import OncallPart

GATES = Path("gates")
PLAN = """\
Compare a rotation file with the paging provider (PagerDuty) and the status page that the environment file
describes under oncall, and print what apply would change, and who would be on call differently in the next 14
days. Schedules are compared as the provider renders them. Touches nothing: reads.

Exit status: 0 shown; 2 wrong input, or the provider can't be read."""
APPLY = """\
Make the paging provider and the status page as the rotation file says: schedules with overrides for absences,
the escalation policy, services, components. A change of the turns counts from the next hand-over on, an
absence at once. Announces what changed in the channel chat.oncall. Run again, it writes nothing; run again
after a failure, it does the rest.

Touches: the provider, the status page, the channel. Removes nothing without --prune, and replaces nobody who
is on call now without --allow-handover.

Exit status: 0 as the file says; 2 wrong input, refused, or not completed."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    top = commands.add_parser("oncall", help="plan and apply who is on call; runbooks", description=__doc__)
    actions = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, text, description in (
        ("plan", "show what apply would change", PLAN),
        ("apply", "make the provider as the rotation file says", APPLY),
    ):
        action = actions.add_parser(
            name, help=text, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        _add_source(action)
        _add_options(action)
        if name == "apply":
            action.add_argument("--dry-run", action="store_true", help="as plan: write nothing")
        else:
            action.set_defaults(dry_run=True)
        action.set_defaults(command=run)
    oncall_metrics.add(actions, _add_source)
    oncall_render.add(actions)


def _add_source(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    parser.add_argument(
        "--rotation",
        type=Path,
        metavar="FILE",
        help=f"default: oncall.rotation of the environment, or {GATES / 'oncall' / 'rotation.yaml'}",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-handover", action="store_true", help="have the file count at once, also for who is on call"
    )
    parser.add_argument(
        "--prune", action="store_true", help="remove overrides and schedules that the file does not ask for"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan, and make its changes unless it is a dry run."""
    from bais_gates.cli.stage_run import environment_of  # noqa: PLC0415 - other commands do not need these
    from bais_gates.oncall import plan as planning  # noqa: PLC0415 - as above
    from bais_gates.oncall.pagerduty import PagerDuty  # noqa: PLC0415 - as above
    from bais_gates.oncall.pagerduty_api import Api  # noqa: PLC0415 - as above
    from bais_gates.oncall.reading import load_rotation  # noqa: PLC0415 - as above

    part: OncallPart = environment_of(arguments.env, "oncall").oncall
    rotation = load_rotation(arguments.rotation or part.rotation or GATES / "oncall" / "rotation.yaml")
    provider = PagerDuty(Api(part.api_url, part.token, part.sender))
    page = _status_page(part)
    try:
        plan = planning.make_plan(
            rotation,
            provider,
            datetime.now(UTC),
            allow_handover=arguments.allow_handover,
            prune=arguments.prune,
            page=page,
        )
        _print(plan)
        if not arguments.dry_run and not arguments.allow_handover:
            planning.require_no_handover(plan)
        if not arguments.dry_run and plan.changes:
            planning.apply(plan, provider, lambda: datetime.now(UTC), say=print)
            _announce(rotation, part, plan)
            print("Everything is as the rotation says.")
    finally:
        provider.close()
        if page is not None:
            page.close()
    return 0


def _status_page(part: OncallPart) -> StatusPage | None:
    from bais_gates.oncall.status_page import StatusPage  # noqa: PLC0415 - see run

    if part.status_page is None:
        return None
    return StatusPage(part.status_page.page, part.status_page.token, api_url=part.status_page.api_url)


def _print(plan: Plan) -> None:
    for title, lines in (
        ("changes", [change.text for change in plan.changes]),
        ("on call differently in the next 14 days", plan.differences),
        ("on call now, and replaced at once (only with --allow-handover)", plan.handovers),
        ("notes", plan.notes),
    ):
        _print_list(title, lines)
    if not plan.changes:
        print("Nothing to change: everything is as the rotation says.")


def _print_list(title: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"{title}:")
        for line in lines:
            print(f"  - {line}")


def _announce(rotation: Rotation, part: OncallPart, plan: Plan) -> None:
    from bais_gates.oncall.chat import post_message  # noqa: PLC0415 - see run

    channel = rotation.oncall_channel
    if channel not in part.chat:
        print(f"Not announced: the environment file has no webhook of {channel} in oncall.chat.")
        return
    lines = plan.differences or [change.text for change in plan.changes]
    text = "\n".join([f"On call at {rotation.name} was changed:", *(f"• {line}" for line in lines)])
    post_message(part.chat[channel], text, channel=channel)
    print(f"announced in {channel}")
