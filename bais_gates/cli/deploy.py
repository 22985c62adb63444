"""``bais-gates deploy`` and ``bais-gates rollback``: bring a judged image into an environment, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from bais_gates.cli.common import duration
from bais_gates.cli.stage import seconds
from bais_gates.cli.verify import subject

RECORDS = Path("rollouts")
_STATUSES = """\
Exit status: 0 deployed and verified; 2 the input is wrong; 30 refused: nothing was deployed; 31 rolled back,
and the rollback verified; 32 the rollback failed or there is no way back: somebody must look now; 33 paused
or stuck: the release can't be judged, the cluster can't be reached, the lock was lost, or nobody knows what
runs; 130 interrupted."""
DEPLOY = f"""\
Deploy one image: only with a verified decision for exactly this image, environment and catalog, which is read
again right before the first write; not in a freeze (gates/rollout/freezes.yaml); one deploy at a time; none
that is older than what runs. First the migration is tried on a copy of the newest backup, and then the smoke
test with the image that runs now, on the copy's new schema: if either fails, nothing is deployed. It records
what runs now, migrates the schema (the Job of the manifests, under a name of its own, tried once), applies
the image, waits for the rollout, and verifies what runs: the digest on every replica, the version that GET
/health reports, and the suite's smoke test (gates/rollout/smoke.py). Then it watches the release (--watch) in
windows: errors, p95 latency and payments by Prometheus, pods, and alerts that began since the rollout; at
last it runs the suite's gates of phase postdeploy. If the release fails at any of it, what ran before is
applied at once, and verified the same way and by those gates. Without data, it pauses: nothing passes and
nothing is rolled back. The schema stays as migrated. A migration that contracts it leaves no way back before
the version that its log names: it needs --no-way-back, and no older image is applied again, neither at once
(status 32) nor by rollback.

Killed or cut off at any point, the next command reads the record: --resume goes on, --abort rolls back, and
without them it refuses. On a running sandbox all of this is a rehearsal, and is called so; everywhere else a
rehearsal's decision is refused.

A release that fails revokes its decision: it allows no deploy any more. --emergency deploys without one, and
in a freeze, approved by another person than the one who deploys (the user of this machine); the gates are
owed then, and each deploy says so until their decision is given. At the end the record is signed if there is
a key, and a PagerDuty change event and a chat message are sent if the environment file has oncall; a rollback
that failed or is stuck pages. None of that changes the status.

Touches: in the namespace of the environment file, by kubernetes.deploy_context (or admin_context, or context)
the Lease and the Deployment of the API (its images and the annotation bais-gates/rollout) and one Job; the
platform by the smoke test, in production only with a test tenant, and by the gates of phase postdeploy, as
`bais-gates run postdeploy` does; the folder of records; oncall.events_url and one webhook of oncall.chat. For
the copy: one database at rollout.scratch_url, and a Lease, Secret, Job and Deployment of their own, deleted
at the end. Prometheus is read.

{_STATUSES}"""
ROLLBACK = f"""\
Roll back: apply the image that ran before the last deploy, or one that ran here once (--to), at once, without
a decision and also in a freeze, then verify it as `bais-gates deploy` verifies its rollback, within 300 s.
One attempt. Images are restored; configuration and schema are not: a version that a migration has declared
too old for the schema is refused. It takes the place of a deploy that stopped half-way.

Touches: what `bais-gates deploy` touches; a Job only to delete that of a deploy that stopped.

{_STATUSES}"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of both commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--env", required=True, metavar="NAME|PATH", help="the environment")
    common.add_argument(
        "--records",
        type=Path,
        default=RECORDS,
        metavar="DIR",
        help="folder of the records (default: %(default)s); keep it",
    )
    common.add_argument("--reason", metavar="TEXT", help="why, such as a ticket; recorded")
    common.add_argument(
        "--sign-key", type=Path, metavar="PATH", help="private key that signs the record (as for `run`)"
    )
    common.add_argument("--dry-run", action="store_true", help="show what would change; nothing is written")

    def add_command(name: str, text: str, description: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            parents=[common],
            help=text,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    rollback = add_command("rollback", "go back to an image that ran", ROLLBACK)
    rollback.add_argument("--to", metavar="IMAGE", help="default: what ran before the last deploy")
    rollback.set_defaults(command=run_rollback)
    deploy = add_command("deploy", "deploy an image that was judged, verify it, or roll back", DEPLOY)
    deploy.set_defaults(command=run_deploy)
    deploy.add_argument("--subject", type=subject, metavar="NAME@sha256:...", help="the image to deploy")
    deploy.add_argument(
        "--version",
        metavar="VERSION",
        help="what GET /health must report then (default: release.version, if release.image is the subject)",
    )
    deploy.add_argument("--decision", type=Path, help="default: gate-report/decision.json")
    deploy.add_argument(
        "--catalog", type=Path, default=Path("gates/catalog.yaml"), help="default: %(default)s"
    )
    deploy.add_argument(
        "--manifests",
        type=Path,
        metavar="DIR",
        help="folder with the migration's Job (default: gates/staging/manifests/overlays/ENV)",
    )
    deploy.add_argument(
        "--take-over", metavar="MANAGER", help="take the image's field over from this field manager"
    )
    deploy.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="deadline of the rollout (default: the Deployment's progressDeadlineSeconds and a minute)",
    )
    deploy.add_argument(
        "--watch",
        type=duration,
        metavar="DURATION",
        help="time of good windows after the rollout, as 15m or 90s; 0 for none (default: "
        "rollout.watch.for_s of the environment file)",
    )
    deploy.add_argument(
        "--no-way-back", action="store_true", help="accept a migration after which what runs now can't return"
    )
    deploy.add_argument(
        "--override-freeze-by", metavar="PERSON", help="who lets it through a freeze; needs --reason"
    )
    deploy.add_argument(
        "--emergency", action="store_true", help="without a decision; needs --reason and --approved-by"
    )
    deploy.add_argument("--approved-by", metavar="PERSON", help="who approves the emergency: not who deploys")
    unfinished = deploy.add_mutually_exclusive_group()
    unfinished.add_argument("--resume", action="store_true", help="go on with the deploy that stopped")
    unfinished.add_argument("--abort", action="store_true", help="roll the deploy that stopped back")


def run_deploy(arguments: argparse.Namespace) -> int:
    """Deploy and return the exit status."""
    from bais_gates.cli.deploy_run import deploy  # noqa: PLC0415 - other commands do not need these modules

    return deploy(arguments)


def run_rollback(arguments: argparse.Namespace) -> int:
    """Roll back and return the exit status."""
    from bais_gates.cli.deploy_run import rollback  # noqa: PLC0415 - as above

    return rollback(arguments)
