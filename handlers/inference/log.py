"""Lines for people, on stderr, each with the id of the request that it is about; never a payload."""

import sys

_request_id = ""


def about(request_id: str) -> None:
    """The lines from now on are about this request."""
    global _request_id  # noqa: PLW0603 - an environment answers one request at a time
    _request_id = request_id


def say(sentence: str) -> None:
    """Write one line."""
    about_it = f"RequestId: {_request_id} " if _request_id else ""
    sys.stderr.write(f"coldpress: {about_it}{sentence}\n")
    sys.stderr.flush()


def place_of(error: BaseException) -> str:
    """Where an exception was raised, as FILE:LINE, without its message, which may quote the client's data."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
