"""The Lambda function without its runtime client: initialised once, then an event in, a reply out.

Importing this module imports all that a request needs, so that no request waits for an import.
"""

import time

from handlers.inference import log
from handlers.inference.deadline import Watch, due_in
from handlers.inference.errors import GivenUp, Late
from handlers.inference.events import answer_event, head_of, refuse_event
from handlers.inference.loading import load
from handlers.inference.metrics import emit
from handlers.inference.service import Service
from handlers.inference.settings import from_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.inference.after import After, Task
    from handlers.inference.dataplane import Model
    from handlers.inference.events.reply import Reply
    from handlers.inference.transform import Transformed
    from handlers.inference.uploads import Uploads


class Function:
    """The model that the environment names, behind Lambda's events.

    Shortly before a request's deadline its run is ended, and it is answered 504.

    Args:
        environ: the environment's variables.
        send: answers a late request by its id, from another thread, so that the client is told even where
            the thread that makes its answer does not come back. None: only ``answer`` answers.

    Raises:
        InitError: there is none; one sentence says why.
    """

    def __init__(
        self, environ: "Mapping[str, str]", send: "Callable[[str, Reply], object] | None" = None
    ) -> None:
        self._service = service_from(environ)
        # What is done after an answer (after.py); None: nothing, as for most.
        self.after = _after(environ, self._service.model)
        # Provisioned concurrency initialises before any request waits for it: no cold start for anybody.
        self._is_cold = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") == "on-demand"
        self._headers = _cors_headers(environ)
        self._send = send
        # Of the runtime clients, only ours can (runtime.py).
        self._streams = send is not None
        self._watch = Watch(self._give_up)
        self._event: object = None
        self._reply: Reply | None = None
        self._request_id = ""
        self._started = 0.0
        self._latency_ms = 0.0

    def answer(self, event: object, request_id: str, seconds_left: float | None = None) -> "Reply":
        """Answer one event (JSON as Python objects), and write its line of metrics.

        Args:
            event: the event.
            request_id: what Lambda calls it.
            seconds_left: until Lambda takes no answer any more, if that is known.

        Raises:
            UnknownEvent: it is none of API Gateway, a function URL or an ALB.
            GivenUp: it took too long, and was answered by ``send``.
        """
        log.about(request_id)
        self._event, self._request_id, self._started = event, request_id, time.perf_counter()
        self._service.model.kept = None
        self._watch.begin(due_in(seconds_left))
        try:
            reply = answer_event(self._service, event, streams=self._streams)
        finally:
            is_in_time = self._watch.end()
            if not is_in_time:
                self._service.model.go_on()
        if not is_in_time and self._send is not None:
            raise GivenUp
        if self._headers:
            reply.add_headers(self._headers)
        self._emit(reply)
        self._reply = reply
        return reply

    def follow_up(self, event: bytes, reply: bytes, seconds_left: float | None) -> None:
        """Do what is done after the last answer, which is on its way.

        Args:
            event: the JSON that was answered.
            reply: the JSON that was sent.
            seconds_left: until Lambda ends what still runs, if that is known.
        """
        if self.after is not None and self._reply is not None:
            from handlers.inference.after import Answered  # noqa: PLC0415 - it is there since the start

            model = self._service.model
            answered = Answered(
                event,
                head_of(self._event),
                reply,
                self._reply,
                request_id=self._request_id,
                latency_ms=self._latency_ms,
                tensors=model.kept,
            )
            model.kept = None  # an environment that is frozen holds nobody's data
            self.after.run(answered, seconds_left)

    def _give_up(self) -> None:
        """The watch's thread: the one that answers is still at it, and waits in ``end`` if it is not."""
        log.say("no answer is ready shortly before the deadline, so it is 504: give the function more time")
        self._service.model.give_up()
        if self._send is None:
            return
        try:
            reply = refuse_event(self._event, Late(), streams=self._streams)
            reply.add_headers(self._headers)
            self._send(self._request_id, reply)
            self._emit(reply)
        except Exception as error:  # noqa: BLE001 - this thread is needed for the next request
            log.say(f"the 504 could not be sent ({type(error).__name__} at {log.place_of(error)})")

    def _emit(self, reply: "Reply") -> None:
        self._latency_ms = (time.perf_counter() - self._started) * 1e3
        emit(
            self._service.model,
            status=reply.status,
            latency_ms=self._latency_ms,
            is_cold=self._is_cold,
            request_id=self._request_id,
        )
        self._is_cold = False


def _cors_headers(environ: "Mapping[str, str]") -> "dict[str, str]":
    """What lets a page in a browser read the answers, where the API cannot add it (a REST API)."""
    origin = environ.get("COLDPRESS_CORS_ORIGIN")
    if not origin:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "inference-header-content-length",
    }


def service_from(environ: "Mapping[str, str]") -> Service:
    """The model that the environment names, behind both protocols.

    Raises:
        InitError: there is none; one sentence says why.
    """
    settings = from_environment(environ)
    model = load(settings, environ)
    return Service(model, _transform(environ, model), _uploads(settings.bucket, model.name, environ))


def _after(environ: "Mapping[str, str]", model: "Model") -> "After | None":
    """What is configured to be done after an answer; in that order."""
    tasks: list[Task] = []
    if environ.get("COLDPRESS_SHADOW_FUNCTION"):
        from handlers.inference.shadow import Shadow  # noqa: PLC0415 - only where there is something to do

        tasks.append(Shadow.from_environment(environ, model.version))
    if environ.get("COLDPRESS_CAPTURE_STREAM"):
        from handlers.inference.capture import Capture  # noqa: PLC0415 - as above

        tasks.append(Capture.from_environment(environ, model))
        model.keeps = True
    if not tasks:
        return None
    from handlers.inference.after import After  # noqa: PLC0415 - as above

    return After(model, tasks)


def _uploads(bucket: str | None, model: str, environ: "Mapping[str, str]") -> "Callable[[], Uploads] | None":
    """The place for large bodies, made and imported for requests that use it."""
    if bucket is None:
        return None

    def make() -> "Uploads":
        from handlers.inference.uploads import Uploads  # noqa: PLC0415 - no cold start pays for it

        return Uploads(bucket, model, environ)

    return make


def _transform(environ: "Mapping[str, str]", model: "Model") -> "Transformed | None":
    """The user's, imported once the model is there; most have none."""
    name = environ.get("COLDPRESS_TRANSFORM")
    if not name:
        return None
    from handlers.inference.transform import load_transform  # noqa: PLC0415 - only where there is one

    return load_transform(name, model)
