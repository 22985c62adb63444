"""``bais-gates oncall metrics``: the readiness of on-call as Prometheus metrics."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.targets.parts import OncallPart

ROTATION = Path("gates/oncall/rotation.yaml")
DESCRIPTION = """\
Print the readiness of on-call as Prometheus metrics (text format), by the same figures as the gates: seconds
of the next 90 days without anybody on call on each tier, with one person on two tiers, with somebody who is
absent, with another person than by the rotation file; people who can't be woken; services that page nobody;
days until the records of drills and trainings count no more. Run it every few minutes, for node_exporter's
textfile collector: --out DIR/oncall.prom. An alert on bais_oncall_measured_timestamp_seconds tells when it
fails. Touches: the provider, by reading, and FILE.

Exit status: 0 measured; 2 wrong input, or the provider can't be read (FILE stays as it was)."""


def add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    add_options: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the action; ``add_options`` adds the environment and the rotation."""
    parser = actions.add_parser(
        "metrics",
        help="print the readiness of on-call for Prometheus",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to FILE, replaced at once")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print or write the metrics."""
    from bais_gates.cli.stage_run import environment_of  # noqa: PLC0415 - other commands do not need these
    from bais_gates.oncall import metrics  # noqa: PLC0415 - as above
    from bais_gates.oncall.pagerduty import PagerDuty  # noqa: PLC0415 - as above
    from bais_gates.oncall.pagerduty_api import Api  # noqa: PLC0415 - as above
    from bais_gates.oncall.reading import load_rotation  # noqa: PLC0415 - as above

    part: OncallPart = environment_of(arguments.env, "oncall").oncall
    rotation = load_rotation(arguments.rotation or part.rotation or ROTATION)
    provider = PagerDuty(Api(part.api_url, part.token, part.sender))
    window = timedelta(hours=part.golive_window_h)
    try:
        gauges = metrics.measure(rotation, provider, part.records, datetime.now(UTC), window)
    finally:
        provider.close()
    if arguments.out is None:
        print(metrics.show(gauges), end="")
    else:
        metrics.write(arguments.out, metrics.show(gauges))
    return 0
