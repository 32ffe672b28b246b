"""Step Functions: state machines run, by moto's interpreter, with what it lacks (``distributed_map``)."""

from functools import cache
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions import responses
from moto.stepfunctions.models import StepFunctionBackend

_backend_of_moto = responses.get_backend


def _backend(account: str, region: str) -> StepFunctionBackend:
    _complete_interpreter()
    return _backend_of_moto(account, region)


@cache
def _complete_interpreter() -> None:
    # Not before somebody asks for a state machine: the interpreter alone takes a second to import.
    from emulator import distributed_map  # noqa: PLC0415 - see above

    distributed_map.install()


def install() -> None:
    """Make moto's Step Functions run what it is given."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    module: Any = responses
    module.get_backend = _backend
