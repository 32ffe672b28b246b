"""`coldpress batch` where it cannot go on, against a stage in the emulator; tests/e2e has how it does."""

import json
import os
import pty
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from coldpress.main import main
from examples.deployment import BIN
from tests.coldpress.stages import Account, template_of

DATA = "batch-data"
# What batches run on, but that waits for an hour, or fails before it has begun.
DEFINITION = {
    "StartAt": "Which",
    "States": {
        "Which": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.path", "StringEquals": "/wait", "Next": "Wait"}],
            "Default": "Broken",
        },
        "Wait": {"Type": "Wait", "Seconds": 3600, "End": True},
        "Broken": {"Type": "Fail", "Error": "Unreadable", "Cause": "as asked"},
    },
}


@pytest.fixture(scope="module")
def account(account: Account) -> Account:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=DATA)
    s3.put_object(Bucket=DATA, Key="in/a.json", Body=b"{}")
    deploy(account, "with")
    account.deploy("without", "1" * 64)
    return account


def deploy(account: Account, name: str) -> None:
    """A stage with batches, of buckets of which one is not there."""
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "DefinitionString": json.dumps(DEFINITION),
            "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        },
    }
    template = template_of("1" * 64, 1, {"Machine": machine})
    template["Outputs"] |= {
        "BatchArn": {"Value": {"Ref": "Machine"}},
        "BatchBuckets": {"Value": f"{DATA} missing"},
    }
    account.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture
def run(
    account: Account, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A command in an empty folder: its exit status, and all that it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse's way
            status = int(ended.code or 0)
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def report(account: Account, name: str, *keys: str) -> None:
    """What an earlier run left."""
    failures = json.dumps([{"Key": key, "Error": "400: no."} for key in keys])
    account.client("s3").put_object(Bucket=DATA, Key=f"out/_batch/{name}/failures.json", Body=failures)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["in/", f"s3://{DATA}/out/"], "argument INPUT: 'in/' is no place in S3: write s3://BUCKET/PREFIX/."),
        (["s3:///in/", f"s3://{DATA}/out/"], "argument INPUT: 's3:///in/' is no place in S3"),
        ([f"s3://{DATA}/in", f"s3://{DATA}/in/out"], f"s3://{DATA}/in/out/ is within s3://{DATA}/in/, so"),
        ([f"s3://{DATA}", f"s3://{DATA}/out/"], f"s3://{DATA}/out/ is within s3://{DATA}/, so"),
        ([f"s3://{DATA}/in/", f"s3://{DATA}/out/", "--concurrency", "0"], "write a whole number from 1 on."),
        (
            [f"s3://{DATA}/in/", f"s3://{DATA}/out/", "--concurrency", "6"],
            "--concurrency 6 takes 12 environments at a time, and this account has 10",
        ),
        ([f"s3://{DATA}/in/", f"s3://{DATA}/out/", "nowhere"], "there is no stack 'nowhere'"),
        (
            [f"s3://{DATA}/in/", "s3://answers/out/", "without"],
            f'has no batches for classifier: write "batch": {{"buckets": ["answers", "{DATA}"]}} into its',
        ),
        (
            [f"s3://{DATA}/in/", "s3://answers/out/"],
            f"batches of 'with' may touch {DATA}, missing only: write answers into batch.buckets",
        ),
        (
            [f"s3://{DATA}/none/", f"s3://{DATA}/out/"],
            f"there is no object below s3://{DATA}/none/, so there is",
        ),
        (["s3://missing/in/", f"s3://{DATA}/out/"], "there is no bucket missing: make it, or name another."),
        (
            [f"s3://{DATA}/in/", f"s3://{DATA}/out/", "--retry", "lost"],
            f"there is no s3://{DATA}/out/_batch/lost/failures.json: the run is under way, was stopped, or "
            "is none of this OUTPUT's (it has elsewhere, good).",
        ),
        ([f"s3://{DATA}/in/", f"s3://{DATA}/out/", "--retry", "good"], "nothing failed in good, so there is"),
        (
            [f"s3://{DATA}/in/", f"s3://{DATA}/out/", "--retry", "elsewhere"],
            f"elsewhere had another INPUT: other/b is not below s3://{DATA}/in/.",
        ),
        (
            [f"s3://{DATA}/in/", f"s3://{DATA}/out/"],
            "is FAILED (Unreadable: as asked): read its history in Step Functions, arn:aws:states:",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Any, account: Account, arguments: list[str], sentence: str
) -> None:
    report(account, "good")
    report(account, "elsewhere", "in/a", "other/b")
    status, told = run("batch", *arguments)
    assert status == 2, told
    assert sentence in told
    assert told.rstrip().splitlines()[-1].startswith("coldpress batch: error: ")


def test_a_stage_must_be_named_where_several_have_batches(run: Any, account: Account) -> None:
    deploy(account, "second")
    status, told = run("batch", f"s3://{DATA}/in/", f"s3://{DATA}/out/")
    assert status == 2
    assert "several stages have batches (" in told
    assert run("destroy", "second", "--force")[0] == 0


def test_a_running_batch_has_its_output_to_itself_and_keeps_its_stage(run: Any, account: Account) -> None:
    deploy(account, "busy")
    client, machine = account.client("stepfunctions"), account.output("busy", "BatchArn")
    job = json.dumps({"path": "/wait", "output": {"bucket": DATA, "prefix": "out/"}})
    arn = client.start_execution(stateMachineArn=machine, name="first", input=job)["executionArn"]
    stop = f"aws stepfunctions stop-execution --execution-arn {arn}"
    status, told = run("batch", f"s3://{DATA}/in/", f"s3://{DATA}/out/", "busy")
    assert status == 2
    assert f"first writes to s3://{DATA}/out/ now: wait for its end, or stop it with `{stop}`." in told
    status, told = run("batch", f"s3://{DATA}/in/", f"s3://{DATA}/elsewhere/", "busy")
    assert "as asked" in told  # started, for nobody writes there
    status, told = run("destroy", "busy", "--force")
    assert status == 2
    assert f"the batch first is running: wait for its end, or stop it with `{stop}`." in told
    client.stop_execution(executionArn=arn)
    status, told = run("destroy", "busy", "--force")
    assert status == 0, told
    assert machine not in [
        entry["stateMachineArn"] for entry in client.list_state_machines()["stateMachines"]
    ]


def test_how_far_it_is_shows_on_a_terminal_and_an_interrupt_ends_the_waiting_only(account: Account) -> None:
    controller, terminal = pty.openpty()
    command = [str(BIN / "coldpress"), "batch", f"s3://{DATA}/in/", f"s3://{DATA}/aside/", "with"]
    with subprocess.Popen(
        [*command, "--path", "/wait"],
        stderr=terminal,
    ) as process:
        os.close(terminal)
        told = b""
        while b"starting" not in told:
            told += os.read(controller, 4096)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # how a terminal ends
            while more := os.read(controller, 4096):
                told += more
    os.close(controller)
    assert process.returncode == 130
    client, machine = account.client("stepfunctions"), account.output("with", "BatchArn")
    pages = client.list_executions(stateMachineArn=machine, statusFilter="RUNNING")
    (execution,) = pages["executions"]
    stop = f"aws stepfunctions stop-execution --execution-arn {execution['executionArn']}"
    assert f"{execution['name']} goes on in AWS; this ends it: {stop}" in told.decode()
    client.stop_execution(executionArn=execution["executionArn"])


def test_doctor_misses_a_bucket(run: Any) -> None:
    _, told = run("doctor", "with")
    assert "batch: there is no bucket missing, which batches may touch: make it, or take it out of" in told
    assert f"bucket {DATA}" not in told
