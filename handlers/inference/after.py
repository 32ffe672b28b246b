"""What is done after an answer is on its way, and before the environment asks for its next event.

Lambda passes an answer on when it is posted, so no client waits for this. But it is billed, and the
environment takes no other request meanwhile: so all of it has half a second, and never the function's last.

A task that fails costs nobody an answer. It is counted, as ``<Task>Failures``, and as ``<Task>TooLarge``
where a request and its answer are more than the task can carry.
"""

import sys
import time
from _json import encode_basestring_ascii as quoted

from bundle.sampling import is_among
from handlers.inference import log
from handlers.inference.errors import InitError
from handlers.inference.metrics import NAMESPACE

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from handlers.inference.dataplane import Model
    from handlers.inference.events.reply import Reply
    from handlers.inference.messages import Request
    from handlers.inference.tensor import Tensor

    Tensors = Mapping[str, Tensor]

    class Task(Protocol):
        """Something to be done after an answer.

        Attributes:
            name: what its metrics begin with.
        """

        name: str

        def run(self, answered: "Answered", due: float) -> None:
            """Do it, or leave it; raises where it cannot be done by ``due`` (``time.monotonic``)."""


BUDGET_SECONDS = 0.5
# Lambda ends an environment that is still busy at the function's timeout.
_MARGIN_SECONDS = 0.2
# How the client calls its request, whatever the protocol.
ID_HEADER = "x-inference-id"


class TooLarge(Exception):
    """More than a task can carry; the message says how much."""


class Refused(Exception):
    """Who should take it does not; the message says how it calls the reason."""


class Answered:
    """A request that has had its answer.

    Attributes:
        event, reply: the JSON that Lambda gave, and took.
        head: the request, without its body.
        status: of the answer.
        request_id: what Lambda calls it.
        inference_id: what the client calls it (its header, else its body), else ``request_id``.
        latency_ms: what the answer took.
        tensors: the model's inputs and outputs, where they are kept and the request came so far.
    """

    __slots__ = ("event", "head", "inference_id", "latency_ms", "reply", "request_id", "status", "tensors")

    def __init__(  # noqa: PLR0913 - what is known of it
        self,
        event: bytes,
        head: "Request",
        reply: bytes,
        made: "Reply",
        *,
        request_id: str,
        latency_ms: float,
        tensors: "tuple[Tensors, Tensors] | None" = None,
    ) -> None:
        self.event = event
        self.head = head
        self.reply = reply
        self.status = made.status
        self.request_id = request_id
        self.latency_ms = latency_ms
        self.tensors = tensors
        self.inference_id = head.headers.get(ID_HEADER) or made.inference_id or request_id

    def is_among(self, share: float) -> bool:
        """Whether it is among the ``share`` of all requests: decided by its id, so a retry is as well."""
        return is_among(self.inference_id, share)


class After:
    """The tasks, in their order.

    Args:
        model: whose metrics count what fails.
        tasks: what is done.
    """

    def __init__(self, model: "Model", tasks: "Sequence[Task]") -> None:
        self._model = model
        self._tasks = tasks

    def run(self, answered: Answered, seconds_left: float | None) -> None:
        """Do all tasks; those that fail are counted.

        ``seconds_left``: until the function's timeout, if that is known.
        """
        left = BUDGET_SECONDS if seconds_left is None else seconds_left - _MARGIN_SECONDS
        due = time.monotonic() + min(BUDGET_SECONDS, left)
        for task in self._tasks:
            try:
                task.run(answered, due)
            except TooLarge as error:
                self._count(f"{task.name}TooLarge", str(error), answered)
            except Exception as error:  # noqa: BLE001 - the next task, and the next request, must go on
                self._count(f"{task.name}Failures", _reason(error), answered)

    def _count(self, metric: str, reason: str, answered: Answered) -> None:
        """A line of metrics, with the reason beside it."""
        sys.stdout.write(
            f'{{"_aws":{{"Timestamp":{time.time_ns() // 1_000_000},"CloudWatchMetrics":[{{"Namespace":'
            f'"{NAMESPACE}","Dimensions":[["Model","Version"]],"Metrics":[{{"Name":"{metric}","Unit":"Count"}}]'
            f'}}]}},"Model":{quoted(self._model.name)},"Version":{quoted(self._model.version)},"{metric}":1,'
            f'"Reason":{quoted(reason)},"RequestId":{quoted(answered.request_id)}}}\n'
        )
        sys.stdout.flush()


def share_from(environ: "Mapping[str, str]", name: str) -> float:
    """The share of the requests that a variable says, above 0 and up to 1.

    Raises:
        InitError: it says none.
    """
    try:
        share = float(environ.get(name, ""))
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InitError(f"{name} is no share of the requests: set it above 0 and up to 1.")
    return share


def _reason(error: Exception) -> str:
    """What went wrong, without what another's exception may quote."""
    is_known = isinstance(error, OSError) or type(error).__module__.startswith("handlers.")
    return str(error) if is_known else f"{type(error).__name__} at {log.place_of(error)}"
