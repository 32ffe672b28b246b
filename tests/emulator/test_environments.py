"""Pools of Lambda environments: crashes, limits and what survives them."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from emulator import settings


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_until_dead(pid):
    """A killed process takes a moment; a request in that moment fails, as on Lambda."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            threads = list(Path(f"/proc/{pid}/task").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            return
        # Its first thread is a zombie before the others are gone, and only then can its parent see it.
        if state in "ZX" and len(threads) <= 1:
            return
    raise AssertionError(f"process {pid} does not die")


@pytest.mark.parametrize("which", ["runtime", "emulator of it"])
def test_a_killed_environment_is_replaced(make_function, which):
    function = make_function(f"killed-{which.split()[0]}")
    before = function.invoke()["pid"]
    assert function.invoke()["pid"] == before
    victim = before if which == "runtime" else parent_of(before)
    os.kill(victim, signal.SIGKILL)
    wait_until_dead(victim)
    after = function.invoke()["pid"]
    assert after != before


def test_a_kill_in_the_middle_of_a_request_fails_that_one_alone(make_function):
    function = make_function("killed-in-a-request")
    before = function.invoke()["pid"]
    assert function.invoke(do="kill")["errorType"] == "Runtime.ExitError"
    after = function.invoke()["pid"]
    assert after != before
    assert function.invoke()["pid"] == after


def test_a_handler_that_raises_keeps_its_environment(make_function):
    function = make_function("raises")
    before = function.invoke()["pid"]
    assert function.invoke(do="raise")["errorType"] == "ValueError"
    assert function.invoke()["pid"] == before


def test_above_its_concurrency_a_function_is_throttled(make_function):
    function = make_function("narrow", Timeout=10)
    function.lambda_.put_function_concurrency(FunctionName="narrow", ReservedConcurrentExecutions=1)

    def outcome(_):
        try:
            return "pid" in function.invoke(do="sleep", seconds="2")
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(outcome, range(2)))
    assert set(outcomes) == {True, "TooManyRequestsException"}
    assert "pid" in function.invoke()


def test_functions_without_a_reservation_share_the_accounts_concurrency(make_function, until, tmp_path):
    one, other, reserved = (make_function(name, Timeout=60) for name in ("one", "other", "reserved"))
    reserved.lambda_.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=1)
    go_on = tmp_path / "go-on"

    def outcome(function):
        try:
            return "pid" in function.invoke(do="wait", path=str(go_on))
        except ClientError as error:
            return error.response["Error"]["Code"]

    limit = settings.ACCOUNT_CONCURRENCY
    with ThreadPoolExecutor(limit + 2) as pool:
        requests = [pool.submit(outcome, (one, other)[n % 2]) for n in range(limit + 2)]
        try:
            assert until(lambda: sum(request.done() for request in requests) == 2)
            assert "pid" in reserved.invoke()
        finally:
            go_on.touch()
        outcomes = [request.result() for request in requests]
    assert outcomes.count(True) == limit
    assert outcomes.count("TooManyRequestsException") == 2


def test_the_functions_settings_reach_its_environment(make_function):
    function = make_function("settings", MemorySize=512, Timeout=7, Environment={"Variables": {"ONE": "1"}})
    shown = function.invoke()
    assert shown["environment"]["ONE"] == "1"
    assert shown["environment"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert 6000 < shown["remaining_ms"] <= 7000


def test_an_image_that_was_never_built_is_one_sentence(make_function):
    function = make_function("imageless", image="nobody:1")
    with pytest.raises(ClientError, match="There is no image nobody:1 here"):
        function.invoke()


def test_code_that_is_not_in_the_image_cannot_be_imported(make_function):
    """Though it is installed here: the image would lack it in AWS."""
    function = make_function("imports")
    assert function.invoke(do="import", name="awslambdaric")["pid"]
    assert function.invoke(do="import", name="emulator")["errorType"] == "ModuleNotFoundError"
