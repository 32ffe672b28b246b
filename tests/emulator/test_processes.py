"""Starting and stopping: nothing is left behind, and nothing is open to the network."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from emulator import settings
from emulator.clients import client_at
from emulator.images import ImageStore
from emulator.server import CannotStart, Emulator

HERE = Path(__file__).parent
ROLE = f"arn:aws:iam::{settings.ACCOUNT}:role/runs"


def start_with_an_environment(state_dir: Path) -> tuple[Emulator, set[int]]:
    """An emulator that has a function's environment running, and the ids of all of its processes."""
    emulator = Emulator(state_dir=state_dir).start()
    ImageStore(state_dir / "images").build("echo:1", HERE / "echo/image", HERE / "echo/image/Dockerfile", {})
    client_at(emulator.url, "iam", settings.REGION).create_role(
        RoleName="runs", AssumeRolePolicyDocument="{}"
    )
    lambda_ = client_at(emulator.url, "lambda", settings.REGION)
    lambda_.create_function(FunctionName="echo", Role=ROLE, PackageType="Image", Code={"ImageUri": "echo:1"})
    lambda_.invoke(FunctionName="echo")
    return emulator, {emulator.pid} | descendants(emulator.pid)


def descendants(pid: int) -> set[int]:
    children = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that ended meanwhile
            children |= {int(child) for child in (task / "children").read_text().split()}
    return children.union(*(descendants(child) for child in children))


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_no_process(tmp_path, until, how):
    emulator, pids = start_with_an_environment(tmp_path)
    assert len(pids) == 3  # the emulator, the RIE and the runtime
    os.kill(emulator.pid, how)
    assert until(lambda: all(map(is_gone, pids)))
    emulator.stop()


def test_the_death_of_the_process_that_started_it_leaves_no_process(tmp_path, until):
    script = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(HERE)!r})
        from test_processes import start_with_an_environment
        emulator, pids = start_with_an_environment(Path({str(tmp_path)!r}))
        print(*pids, flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = {int(pid) for pid in parent.stdout.readline().split()}
    assert len(pids) == 3
    parent.kill()
    parent.communicate()
    assert until(lambda: all(map(is_gone, pids)))


def test_it_listens_on_loopback_only(emulator):
    port = f"{int(emulator.url.rpartition(':')[2]):04X}"
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and address.endswith(f":{port}"):
                listening.add(address)
    assert listening == {f"0100007F:{port}"}


def test_a_taken_port_is_one_sentence(emulator, tmp_path):
    port = int(emulator.url.rpartition(":")[2])
    with pytest.raises(CannotStart, match=f"Port {port} cannot be used"):
        Emulator(port=port, state_dir=tmp_path).start()


def test_the_terminal_sees_the_url_and_nothing_else(tmp_path):
    emulator, _ = start_with_an_environment(tmp_path)
    emulator.stop()
    assert (tmp_path / "emulator.err").read_text() == ""
    assert list((tmp_path / "logs" / "echo").glob("*.log"))
