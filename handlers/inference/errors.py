"""What can go wrong, as a tree: at init, and in a request.

InitError               no model: the environment must not serve
RequestError (400)      the request is wrong; its sentence goes to the client
├── Forbidden (403)
├── NotFound (404)
├── MethodNotAllowed (405)
├── Conflict (409)
├── ContentTooLarge (413)
├── UnsupportedMediaType (415)
├── Unavailable (503)
└── Late (504)
GivenUp                 the client has had its 504: nothing is left to send
TransformError          the user's transform failed: a 500, whose sentence is for the log alone
"""


class InitError(Exception):
    """The model cannot be loaded; one sentence names the cause, the key and what to do."""


class RequestError(Exception):
    """The client must change its request; the message is one sentence that says how."""

    status = 400

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.headers: dict[str, str] = {}


class Forbidden(RequestError):
    """It is not this endpoint's to give."""

    status = 403


class NotFound(RequestError):
    """There is no such path, model, version or upload."""

    status = 404


class MethodNotAllowed(RequestError):
    """The path exists, for other methods."""

    status = 405

    def __init__(self, sentence: str, allow: str) -> None:
        super().__init__(sentence)
        self.headers["allow"] = allow


class Conflict(RequestError):
    """What the request refers to is not what it was."""

    status = 409


class ContentTooLarge(RequestError):
    """The request, inflated, or the answer it asks for exceeds what can be carried."""

    status = 413


class UnsupportedMediaType(RequestError):
    """The body is declared to be something that this endpoint does not read."""

    status = 415


class Unavailable(RequestError):
    """Something that the request needs cannot be reached; the same request may be answered later."""

    status = 503


class Late(RequestError):
    """There is no answer within the time that there is for one; the client may ask for less."""

    status = 504

    def __init__(self) -> None:
        super().__init__(
            "the answer was not ready in the time that this endpoint has for one: send fewer rows, or give "
            "the endpoint more time or more memory."
        )


class GivenUp(Exception):
    """It took too long, the client has been told so, and what was made nevertheless is of no use."""


class TransformError(Exception):
    """The user's transform failed; the message is one sentence for the log, without any payload."""
