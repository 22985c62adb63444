"""Where the programs of monitoring are looked for, and how they are fetched, by fake apt-get and dpkg-deb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bais_gates import servers
from bais_gates.cli import main
from bais_gates.errors import GateInputError

ALL = tuple(names[0] for names in servers.COMMANDS.values())
APT = """\
#!/bin/sh
echo "$@" >> "$CALLS"
case " $* " in
*" update "*) printf "$UPDATE" ;;
*) [ -z "$FAIL" ] || { printf "$FAIL"; exit 100; }
   sleep "${SLOW:-0}"
   while [ "$1" != download ]; do shift; done
   shift
   for package; do : > "${package}_1_amd64.deb"; done ;;
esac
"""
DPKG = """\
#!/bin/sh
package=$(basename "$2" _1_amd64.deb)
[ "$package" != "$BROKEN" ] || { echo "dpkg-deb: error: no space left"; exit 2; }
mkdir -p "$3/usr/bin" "$3/usr/share/prometheus/alertmanager" "$3/etc"
: > "$3/usr/share/prometheus/alertmanager/default.tmpl"
: > "$3/usr/bin/promtool"
[ "$package" = "$EMPTY" ] && exit
printf '[/usr/share/prometheus/alertmanager/default.tmpl]' > "$3/usr/bin/$package"
chmod 755 "$3/usr/bin/$package"
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a system with those two programs alone in its PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("apt-get", APT), ("dpkg-deb", DPKG)):
        write_program(programs / name, text)
    for name in ("sh", "sleep", "basename", "mkdir", "chmod"):
        found = next(path for path in (Path("/bin", name), Path("/usr/bin", name)) if path.exists())
        (programs / name).symlink_to(found)
    for variable in [name for name in os.environ if name.startswith("BAIS_GATES_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path


def write_program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """Write a program and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def calls(system: Path) -> list[str]:
    """Return the calls of apt-get."""
    return (system / "calls").read_text().splitlines() if (system / "calls").exists() else []


def left(system: Path) -> list[str]:
    """Return what is in the cache."""
    return sorted(path.name for path in (system / "cache" / "bais-gates").iterdir())


def test_the_order_of_look_up(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable counts before the PATH, under either name, and the PATH before the unpacked packages."""
    with pytest.raises(GateInputError, match=r"no alertmanager here.*sandbox fetch.*BAIS_GATES_ALERTMANAGER"):
        servers.find_server("alertmanager")

    unpacked = write_program(servers.unpacked_folder() / "usr/bin/prometheus-alertmanager")
    assert servers.find_server("alertmanager") == unpacked
    in_path = write_program(system / "bin/alertmanager")
    assert servers.find_server("alertmanager") == in_path
    named = write_program(system / "mine")
    monkeypatch.setenv("BAIS_GATES_ALERTMANAGER", str(named))
    assert servers.find_server("alertmanager") == named
    named.chmod(0o644)
    with pytest.raises(GateInputError, match=r"BAIS_GATES_ALERTMANAGER: there is no program .*mine"):
        servers.find_server("alertmanager")


def test_fetch_unpacks_the_programs_once(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All programs and the templates are there, without root's places; a second fetch calls nothing."""
    assert main(["sandbox", "fetch"]) == 0

    folder = servers.unpacked_folder()
    assert servers.missing() == ()
    assert sorted(path.name for path in (folder / "usr/bin").iterdir()) == sorted(ALL)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == sorted([*ALL, "default.tmpl"])
    assert b"/proc/self/cwd/alertmanager-assets/" in (folder / "usr/bin/prometheus-alertmanager").read_bytes()
    assert b"/usr/share/" in (folder / "usr/bin/prometheus").read_bytes()
    assert left(system) == ["servers"]
    assert f"are in {folder}" in capsys.readouterr().out
    update, download = calls(system)
    for call in (update, download):
        assert f"Dir::State={system}" in call
        assert f"Dir::Cache={system}" in call
    assert download.endswith(" ".join(ALL))

    assert main(["sandbox", "fetch"]) == 0
    assert "are here already" in capsys.readouterr().out
    assert len(calls(system)) == 2


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"FAIL": "E: Unable to locate package prometheus-redis-exporter\\n"},
            "no package prometheus-redis-",
        ),
        (
            {
                "UPDATE": "Err:1 bookworm\\nW: Failed to fetch x  Could not resolve 'packages.example'\\n",
                "FAIL": "E: Unable to locate package prometheus\\n",
            },
            r"Could not resolve 'packages\.example'.*network",
        ),
        (
            {"FAIL": "E: Failed to fetch http://me:geheim@packages.example/p  503\\n"},
            r"//packages\.example/p",
        ),
        ({"BROKEN": "prometheus-node-exporter"}, "no space left"),
        ({"EMPTY": "prometheus-postgres-exporter"}, "BAIS_GATES_POSTGRES_EXPORTER"),
    ],
    ids=["package", "network", "account", "disk", "content"],
)
def test_a_failure_leaves_what_was_there(
    system: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    """A fetch that fails says why in a paragraph, keeps an older folder, and leaves no part of a new one."""
    older = write_program(servers.unpacked_folder() / "usr/bin/prometheus", "older")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(GateInputError, match=message) as caught:
        servers.fetch()

    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert older.read_text() == "older"
    assert left(system) == ["servers"]
    for name in variables:
        monkeypatch.delenv(name)
    assert servers.fetch()
    assert older.read_text() != "older"
    assert left(system) == ["servers"]


@pytest.mark.parametrize("absent", ["apt-get", "dpkg-deb"])
def test_another_distribution(system: Path, absent: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without apt-get or dpkg-deb the message names the programs to install, and their variables."""
    (system / "bin" / absent).unlink()

    assert main(["sandbox", "fetch"]) != 0

    message = capsys.readouterr().err
    assert f"There is no {absent} here" in message
    assert "BAIS_GATES_NODE_EXPORTER" in message
    assert left(system) == []


def test_a_folder_that_cannot_be_written(system: Path) -> None:
    """A cache that is no folder is named, with the variable that moves it."""
    (system / "cache").write_text("")

    with pytest.raises(GateInputError, match=r"cache.*XDG_CACHE_HOME"):
        servers.fetch()


def test_one_process_fetches_and_the_others_wait(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several at once one downloads, after it has removed what a killed one left; and time is bounded."""
    write_program(system / "cache/bais-gates/servers.partial/kept/usr/bin/prometheus")
    monkeypatch.setenv("SLOW", "0.3")
    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(lambda _: servers.fetch(), range(3)))

    assert len(calls(system)) == 2
    assert left(system) == ["servers"]
    (servers.unpacked_folder() / "usr/bin/prometheus").unlink()
    monkeypatch.setenv("SLOW", "30")
    with pytest.raises(GateInputError, match="did not end in time"):
        servers.fetch(within=0.5)
    assert left(system) == ["servers"]


def test_an_interrupt_leaves_nothing(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during the download ends apt-get too, and leaves no file."""
    monkeypatch.setenv("SLOW", f"3600.{os.getpid()}")
    program = "from bais_gates import servers; servers.fetch(print)"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while len(calls(system)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)

    assert process.wait(20) != 0
    assert left(system) == []
    assert running(system) == []


def test_an_interrupt_while_a_program_starts(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that comes before the started apt-get is known to its caller ends it, too."""
    monkeypatch.setenv("SLOW", f"3600.{os.getpid()}")
    program = """
import os, pathlib, signal, subprocess, time
from bais_gates import servers

class Interrupted(subprocess.Popen):
    def __init__(self, command, **keys):
        super().__init__(command, **keys)
        if "download" in command:
            while len(pathlib.Path(os.environ["CALLS"]).read_text().splitlines()) < 2:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

subprocess.Popen = Interrupted
servers.fetch(print)
"""
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    assert "KeyboardInterrupt" in process.stderr
    assert left(system) == []
    assert running(system) == []


def running(system: Path) -> list[bytes]:
    """Return the command lines of the fake programs, and of what they wait for, that still run."""
    lines = [_bytes(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return [
        line for line in lines if os.environ["SLOW"].encode() in line or str(system / "bin").encode() in line
    ]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_options_that_a_program_knows(system: Path) -> None:
    """They read alike however its version prints those that can be switched off; what can't run is named."""
    write_program(system / "newer", "#!/bin/sh\necho '  --[no-]web.enable-lifecycle  Whatever.' >&2\n")

    assert "  --web.enable-lifecycle  " in servers.known_options(system / "newer")
    with pytest.raises(GateInputError, match=r"nowhere can't be run: .*No such file"):
        servers.known_options(system / "nowhere")
