"""The function for AWS's runtime client: ``awslambdaric handlers.inference.app.handler``.

The image runs ``runtime.py`` in its place, which starts in less CPU time; the answers are the same. The model
is loaded when this module is imported, which is Lambda's init phase. Where that fails, the import fails with
one sentence, Lambda reports an init error, and no request is ever answered.
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
    return _function.answer(event, str(getattr(context, "aws_request_id", ""))).as_dict()
