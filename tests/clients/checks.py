"""What the scripts of all clients share; they run without the project's packages."""

import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

Error = TypeVar("Error", bound=Exception)


def run(*checks: Callable[[str], None]) -> None:
    """Call each check with the address of the command line; the process fails if one does."""
    (url,) = sys.argv[1:]
    failed = 0
    for check in checks:
        try:
            check(url)
        except Exception:  # noqa: BLE001 - the other checks are of interest as well
            print(f"{check.__name__}:\n{traceback.format_exc()}")
            failed += 1
    sys.exit(failed > 0)


def raised(kind: type[Error], call: Callable[[], object]) -> Error:
    """The exception of that kind that the call must raise."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")
