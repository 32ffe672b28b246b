"""The emulator's own calls, below /_emulator/: its clock, and where custom resources put their answers."""

import json
from typing import Any

from werkzeug.wrappers import Request, Response

from emulator import settings
from emulator.clock import CLOCK
from emulator.cloudformation import custom_resource

_USAGE = (
    'The clock takes {"advance_seconds": 600} (any number above 0) or {"hold": true} (false lets it go on).'
)


def answer(request: Request, path: str) -> Response:
    """``GET`` and ``POST /_emulator/clock``, and ``PUT /_emulator/responses/<request>``."""
    name, _, rest = path.removeprefix(settings.CONTROL_PREFIX).partition("/")
    if name == "responses" and request.method == "PUT":
        custom_resource.receive(rest, request.get_data())
        return Response(status=200)
    if name != "clock":
        return _json({"message": f"The emulator has no {path}: see docs/emulator.md."}, 404)
    if request.method == "POST" and not _set_clock(request.get_data()):
        return _json({"message": _USAGE}, 400)
    return _json({"now": CLOCK.now(), "held": CLOCK.held})


def _set_clock(body: bytes) -> bool:
    """Whether ``body`` says something that a clock can do."""
    try:
        match json.loads(body):
            case {"advance_seconds": int() | float() as seconds} if 0 < seconds <= 366 * 86_400:
                CLOCK.advance(float(seconds))
            case {"hold": bool() as held}:
                CLOCK.hold(held)
            case _:
                return False
    except ValueError:
        return False
    return True


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status=status, content_type="application/json")
