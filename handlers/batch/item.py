"""One object of a batch: its content is a request's body, and the answer's body becomes another object."""

import json
from typing import Any

from handlers import direct

SUFFIX = ".out"
# Lambda carries 6 MB, and base64 makes three bytes four; a little is left for the event around it.
_MAX_BYTES = int(5.9 * 1024**2 / 4 * 3)
_BUSY = (429, 503)
_UNDECLARED = "binary/octet-stream"  # what S3 says of an object that nobody gave a type


class Busy(Exception):
    """Nobody answers now; the state machine tries again by this name."""


class ObjectFailed(Exception):
    """The object has no answer, and would have none another time; one sentence says why."""


def answer_object(job: dict[str, Any], key: str, function: str, s3: Any, client: Any) -> dict[str, Any]:
    """Ask the version that the batch has throughout, and write what it answers.

    Args:
        job: the batch, as its execution was told (coldpress/batch.py).
        key: the object, in the input's bucket.
        function: the endpoint's.
        s3: boto3's client of S3.
        client: boto3's client of Lambda.

    Raises:
        Busy: try again.
        ObjectFailed: there is no answer.
    """
    if key.endswith("/"):
        return {}  # what the console makes for an empty folder
    found = s3.get_object(Bucket=job["input"]["bucket"], Key=key)
    if found["ContentLength"] > _MAX_BYTES:
        raise ObjectFailed(
            f"it has {found['ContentLength']} bytes, and Lambda carries {_MAX_BYTES}: split it into several."
        )
    headers = {} if found["ContentType"] == _UNDECLARED else {"content-type": found["ContentType"]}
    event = direct.http_event(job["path"], headers=headers, body=found["Body"].read())
    answer = _ask(client, function, job["version"], event)
    written = job["output"]["prefix"] + key.removeprefix(job["input"]["prefix"]) + SUFFIX
    s3.put_object(
        Bucket=job["output"]["bucket"],
        Key=written,
        Body=answer.body,
        ContentType=answer.headers.get("content-type", "application/octet-stream"),
    )
    return {"key": written}


def _ask(client: Any, function: str, version: str, event: dict[str, Any]) -> direct.Answer:
    try:
        answer = direct.read_answer(direct.invoke(client, function, version, event))
    except client.exceptions.TooManyRequestsException:
        raise Busy("all of the function's concurrency is in use: lower --concurrency.") from None
    except (client.exceptions.ResourceNotReadyException, client.exceptions.ResourceConflictException):
        raise Busy("the version was asleep and wakes now.") from None
    except direct.FunctionFailed as failed:
        raise ObjectFailed(f"the function failed ({failed}): look at its log.") from None
    if answer.status in _BUSY:
        raise Busy(f"{answer.status}: {_sentence(answer)}")
    if answer.status >= 400:
        raise ObjectFailed(f"{answer.status}: {_sentence(answer)}")
    return answer


def _sentence(answer: direct.Answer) -> str:
    """What the endpoint says; a transform of the user's own may answer anything."""
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.body[:500].decode(errors="replace")
