"""The function for AWS's runtime client: ``awslambdaric handlers.inference.app.handler``.

The image runs ``runtime.py`` in its place, which starts in less CPU time; the answers are the same. The model
is loaded when this module is imported, which is Lambda's init phase. Where that fails, the import fails with
one sentence, Lambda reports an init error, and no request is ever answered.

Only what this function returns is sent. So a run that is late is ended and answered 504, as in the image, but
code that does not come back by itself is ended by Lambda, without a sentence. And nothing is done after an
answer (after.py): no shadow gets a request.
"""

import os

from handlers.inference.function import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_function = Function(os.environ)


def handler(event: object, context: "Any") -> "dict[str, Any]":
    """Answer one event of API Gateway (v2 and v1), a function URL or an ALB.

    Raises:
        UnknownEvent: it is none of them; Lambda reports the sentence to whoever invoked the function.
    """
    request_id = str(getattr(context, "aws_request_id", ""))
    milliseconds_left = getattr(context, "get_remaining_time_in_millis", None)
    seconds_left = milliseconds_left() / 1e3 if milliseconds_left else None
    return _function.answer(event, request_id, seconds_left).as_dict()
