"""``coldpress batch``: the deployed model answers every object below a prefix of S3, or those that failed."""

import argparse
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from coldpress import aws
from coldpress.batch_runs import Place, Run, failures_of, read_failures, results_of, running, start
from coldpress.deployed import Deployed, open_one
from coldpress.errors import CommandError

_POLL_SECONDS = 1.0
_FAILURES_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add = parser.add_argument
    add("input", type=_place, metavar="INPUT", help="where the requests are: s3://BUCKET/PREFIX/")
    add("output", type=_place, metavar="OUTPUT", help="where the answers go: s3://BUCKET/PREFIX/")
    add(
        "stack",
        nargs="?",
        metavar="STACK",
        help="the stage's stack, such as coldpress-dev (default: the only one here that has batches)",
    )
    add("--model", metavar="NAME", help="which model, where the stage has several")
    add(
        "--path",
        help="to which each object is sent, as the body of a POST (default: /v1/models/NAME:predict)",
    )
    add("--concurrency", type=_count, default=4, metavar="N", help="objects at a time (default: %(default)s)")
    add(
        "--retry", metavar="RUN", help="only the objects that failed in this earlier run from INPUT to OUTPUT"
    )
    add("--json", action="store_true", help="print one JSON object")


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Have them answered and wait; the exit status is 1 if some failed."""
    source, output = options.input, options.output
    if source.bucket == output.bucket and output.prefix.startswith(source.prefix):
        raise CommandError(
            f"{output} is within {source}, so that answers would become requests: name another OUTPUT."
        )
    deployed = open_one(options.stack or _only_stack(), options.model)
    machine = _state_machine(deployed, {source.bucket, output.bucket})
    _check_concurrency(options.concurrency)
    _check_objects(source, output, options.retry)
    _check_nothing_else_writes(machine, output)
    serving = deployed.serving
    job = {
        # The version that serves now answers them all, whatever is deployed meanwhile.
        "version": str(serving.number),
        "path": options.path or f"/v1/models/{serving.model}:predict",
        "concurrency": options.concurrency,
        "input": source._asdict(),
    }
    started = start(machine, job, output, options.retry)
    ended = _wait(started)
    return _tell(started, ended, output, as_json=options.json)


def _place(text: str) -> Place:
    url = urlsplit(text)
    if url.scheme != "s3" or not url.netloc:
        raise argparse.ArgumentTypeError(f"'{text}' is no place in S3: write s3://BUCKET/PREFIX/.")
    prefix = text.removeprefix(f"s3://{url.netloc}").removeprefix("/")
    return Place(url.netloc, prefix if prefix.endswith("/") or not prefix else f"{prefix}/")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of objects: write a whole number from 1 on.")
    return int(text)


def _only_stack() -> str:
    pages = aws.client("cloudformation").get_paginator("describe_stacks").paginate()
    found = [
        str(stack["StackName"])
        for page in pages
        for stack in page["Stacks"]
        if any(name.endswith("BatchArn") for name in aws.outputs(stack))
    ]
    if len(found) == 1:
        return found[0]
    known = f"several stages have batches ({', '.join(found)})" if found else "no stage here has batches"
    raise CommandError(f"{known}: name the stack that you mean, such as coldpress-dev.")


def _state_machine(deployed: Deployed, buckets: set[str]) -> str:
    """What runs this model's batches, if it may touch these buckets."""
    machine, allowed = deployed.output("BatchArn"), deployed.output("BatchBuckets").split()
    if not machine:
        key = json.dumps({"buckets": sorted(buckets)})
        raise CommandError(
            f"'{deployed.stack}' has no batches for {deployed.serving.model}: write \"batch\": {key} into "
            "its stage in cdk.json, and deploy."
        )
    for bucket in sorted(buckets.difference(allowed)):
        raise CommandError(
            f"batches of '{deployed.stack}' may touch {', '.join(allowed)} only: write {bucket} into "
            "batch.buckets of its stage in cdk.json, and deploy."
        )
    return machine


def _check_concurrency(concurrency: int) -> None:
    """Each object takes two environments at a time: the one that reads and writes, and the endpoint's."""
    limit = aws.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if 2 * concurrency > limit:
        raise CommandError(
            f"--concurrency {concurrency} takes {2 * concurrency} environments at a time, and this account "
            f"has {limit} for all functions: lower it, or ask AWS for more (see `coldpress doctor`)."
        )


def _check_objects(source: Place, output: Place, retry: str | None) -> None:
    s3 = aws.s3_client()
    try:
        found = s3.list_objects_v2(Bucket=source.bucket, Prefix=source.prefix, MaxKeys=1)
        failures = read_failures(output, retry) if retry else []
    except s3.exceptions.NoSuchBucket as error:
        bucket = error.response["Error"].get("BucketName", source.bucket)
        raise CommandError(f"there is no bucket {bucket}: make it, or name another.") from None
    if "Contents" not in found:
        raise CommandError(f"there is no object below {source}, so there is nothing to do.")
    if retry and not failures:
        raise CommandError(f"nothing failed in {retry}, so there is nothing to do.")
    for failure in failures:
        if not failure["Key"].startswith(source.prefix):
            raise CommandError(f"{retry} had another INPUT: {failure['Key']} is not below {source}.")


def _check_nothing_else_writes(machine: str, output: Place) -> None:
    for other in running(machine):
        if Place(**json.loads(other.describe()["input"])["output"]) == output:
            raise CommandError(
                f"{other.name} writes to {output} now: wait for its end, or stop it with "
                f"`{other.stop_command}`."
            )


def _wait(started: Run) -> Any:
    """The execution that came to its end; how far it is shows on a terminal."""
    console = Console(stderr=True)
    try:
        with console.status(f"{started.name}: starting") as status:
            while (told := started.describe())["status"] == "RUNNING":
                if console.is_terminal and (counts := started.counts()):
                    to_go = counts["pending"] + counts["running"]
                    failed = counts["failed"] + counts["timedOut"]
                    status.update(
                        f"{started.name}: {counts['succeeded']} answered, {failed} failed, {to_go} to go"
                    )
                time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        sys.stderr.write(f"{started.name} goes on in AWS; this ends it: {started.stop_command}\n")
        raise
    if told["status"] != "SUCCEEDED" and told.get("error") != "ObjectsFailed":
        why = f"{told.get('error') or 'nobody says why'}: {told.get('cause') or 'no cause'}"
        raise CommandError(
            f"{started.name} is {told['status']} ({why}): read its history in Step Functions, {started.arn}."
        )
    return told


def _tell(started: Run, ended: Any, output: Place, *, as_json: bool) -> int:
    job, failures = json.loads(ended["input"]), read_failures(output, started.name)
    report = {
        "run": started.name,
        "execution": started.arn,
        "version": int(job["version"]),
        "path": job["path"],
        "answered": started.counts()["succeeded"],
        "failed": len(failures),
        "output": str(output),
        "results": str(results_of(output, started.name)),
    }
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
        return 1 if failures else 0
    sys.stdout.write(
        f"{started.name}: {report['answered']} answered by version {report['version']}, below {output}\n"
    )
    if not failures:
        return 0
    sys.stdout.write(f"{len(failures)} failed, and {failures_of(output, started.name)} says why:\n")
    for failure in failures[:_FAILURES_SHOWN]:
        sys.stdout.write(f"  {failure['Key']}: {failure['Error']}\n")
    if len(failures) > _FAILURES_SHOWN:
        sys.stdout.write(f"  and {len(failures) - _FAILURES_SHOWN} more\n")
    sys.stdout.write(f"Mend them, and run this again with --retry {started.name}.\n")
    return 1
