"""The loop that asks Lambda for events and answers them: what awslambdaric does, in a third of its CPU time.

Whatever goes wrong at init is reported as an init error; whatever goes wrong in a request fails that request
alone. An answer that is not ready shortly before the deadline is a 504 (function.py). SIGTERM ends the
process, after the answer if one is being made.
"""

# ``signal`` imports enum, for names that nobody needs here.
import _signal  # type: ignore[import-not-found]
import os
import sys
import time
from _json import encode_basestring_ascii as quoted

from handlers.inference import log
from handlers.inference.errors import GivenUp, InitError
from handlers.inference.runtime_api import ApiError, RuntimeApi, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.inference.events.reply import Reply
    from handlers.inference.runtime_api import Invocation

_TRACE_VARIABLE = "_X_AMZN_TRACE_ID"


def main() -> int:
    """Serve until SIGTERM; the exit status: 1 where init failed or Lambda's runtime API is gone."""
    try:
        api = RuntimeApi(os.environ.get("AWS_LAMBDA_RUNTIME_API", ""))
        try:
            answer, after = _initialise(api)
        except Exception as error:  # noqa: BLE001 - whatever it is, Lambda wants to know
            kind, sentence = type(error).__name__, str(error)
            where = "" if isinstance(error, InitError) else f" ({kind} at {log.place_of(error)})"
            log.say(f"init failed: {sentence}{where}")
            api.fail_init(f"Runtime.{kind}", _described(kind, sentence))
            return 1
        Loop(api, answer, after).run()
    except ApiError as error:
        log.say(str(error))
        return 1
    return 0


def _initialise(
    api: RuntimeApi,
) -> "tuple[Callable[[Invocation], bytes | Stream], Callable[[Invocation, bytes], None] | None]":
    """Import and load all that requests need; how to answer one, and what to do after that, if anything."""
    from handlers.inference.documents import read_event  # noqa: PLC0415 - a failed import is an init error
    from handlers.inference.events import UnknownEvent  # noqa: PLC0415
    from handlers.inference.function import Function  # noqa: PLC0415

    def send(request_id: str, reply: "Reply") -> None:
        # The loop uses the connection only when it has the answer, which it then waits for in vain.
        api.respond(request_id, _sent(reply))

    function = Function(os.environ, send)

    def answer(invocation: "Invocation") -> "bytes | Stream":
        try:
            event = read_event(invocation.event)
        except ValueError:
            raise UnknownEvent("the event is no JSON: invoke this function with an HTTP event.") from None
        return _sent(function.answer(event, invocation.request_id, _seconds_left(invocation)))

    def after(invocation: "Invocation", reply: bytes) -> None:
        function.follow_up(invocation.event, reply, _seconds_left(invocation))

    return answer, after if function.after is not None else None


def _sent(reply: "Reply") -> "bytes | Stream":
    """A reply as Lambda takes it."""
    return Stream(*reply.as_stream()) if reply.is_streamed else reply.as_json()


def _seconds_left(invocation: "Invocation") -> float | None:
    """Lambda's deadline is told by the wall clock; from here on only time that passes counts."""
    deadline = invocation.deadline_ms / 1000
    return deadline - time.time() if deadline else None


class Loop:
    """Answers events by ``answer``, one after another.

    ``after`` is called when Lambda has taken an answer, which the client gets then. The environment gets its
    next event when ``after`` has returned.
    """

    def __init__(
        self,
        api: RuntimeApi,
        answer: "Callable[[Invocation], bytes | Stream]",
        after: "Callable[[Invocation, bytes], None] | None" = None,
    ) -> None:
        self._api = api
        self._answer = answer
        self._after = after
        self._must_end = False

    def run(self) -> None:
        """Answer until SIGTERM.

        Raises:
            ApiError: Lambda's runtime API is gone.
            SystemExit: SIGTERM came while no event was there.
        """
        _signal.signal(_signal.SIGTERM, self._end)
        while not self._must_end:
            invocation = self._api.next()
            log.about(invocation.request_id)
            _pass_on(invocation.trace_id)
            self._answer_one(invocation)
            log.about("")
            # From here on SIGTERM ends the process where it comes: none falls between this and the next call.
            self._api.release()

    def _answer_one(self, invocation: "Invocation") -> None:
        request_id = invocation.request_id
        try:
            reply = self._answer(invocation)
        except GivenUp:
            return
        except Exception as error:  # noqa: BLE001 - one failing request must not take the loop down
            log.say(f"the request failed with {type(error).__name__} at {log.place_of(error)}")
            self._fail(request_id, type(error).__name__, _public(error))
            return
        late_ms = time.time() * 1000 - invocation.deadline_ms
        if invocation.deadline_ms and late_ms > 0:
            log.say(f"the answer is {late_ms:.0f} ms late and was not sent: give the function more time")
        elif not self._api.respond(request_id, reply):
            sentence = f"Lambda did not take the answer of {len(reply)} bytes: ask for fewer rows or outputs."
            log.say(sentence)
            self._fail(request_id, "ResponseSizeTooLarge", sentence)
        elif self._after is not None and isinstance(reply, bytes):
            try:
                self._after(invocation, reply)
            except Exception as error:  # noqa: BLE001 - the client has its answer, and others want theirs
                log.say(f"what follows an answer failed with {type(error).__name__} at {log.place_of(error)}")

    def _fail(self, request_id: str, kind: str, sentence: str) -> None:
        """Say that the request failed, if Lambda has not said so already."""
        self._api.fail(request_id, f"Function.{kind}", _described(kind, sentence))

    def _end(self, _number: int, _frame: object) -> None:
        self._must_end = True
        if self._api.is_idle():
            sys.exit(0)


def _pass_on(trace_id: str | None) -> None:
    """X-Ray's header, where AWS's SDKs look for it."""
    if trace_id is None:
        os.environ.pop(_TRACE_VARIABLE, None)
    else:
        os.environ[_TRACE_VARIABLE] = trace_id


def _public(error: Exception) -> str:
    """Our own sentences; another exception's message may quote what the client sent."""
    is_ours = type(error).__module__.startswith("handlers.")
    return str(error) if is_ours else "The request failed inside the function; its log says where."


def _described(kind: str, sentence: str) -> bytes:
    """An error as Lambda reports it; where it was raised stands in the log."""
    return f'{{"errorMessage":{quoted(sentence)},"errorType":{quoted(kind)},"stackTrace":[]}}'.encode()
