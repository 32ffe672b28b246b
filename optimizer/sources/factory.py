"""A model that a function of the user's makes: ``module:factory``."""

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optimizer.data import import_function
from optimizer.errors import InputError
from optimizer.sources import scikit_learn
from optimizer.sources.base import Asked, Converted, origin_of, quietly
from optimizer.sources.pytorch import source as pytorch

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_mine(asked: Asked) -> bool:
    """Whether it is written like one, and no such file is there."""
    return bool(_SPEC.fullmatch(asked.text)) and not asked.path.exists()


def converted(asked: Asked) -> Converted:
    """What the factory makes, as ONNX.

    Raises:
        InputError: there is no such factory, it raises, or it gives no model.
    """
    factory = import_function(asked.text, "MODEL")
    made = factory if _is_module(factory) else _made(asked.text, factory)
    files = _source(factory)
    if _is_module(made):
        return pytorch.convert_module(asked, made, files)
    if scikit_learn.is_estimator(made) and asked.state_dict is None:
        origin = origin_of("scikit-learn", files[0] if files else asked.path, files)
        return scikit_learn.convert_estimator(asked, made, origin)
    raise InputError(
        f"{asked.text} gives a {type(made).__name__}: let it return a torch.nn.Module, or an estimator of "
        "scikit-learn, which has no state dict."
    )


def _made(spec: str, factory: Callable[[], Any]) -> Any:
    try:
        with quietly():
            return factory()
    except Exception as error:  # noqa: BLE001 - the user's own function may raise anything
        raise InputError(f"{spec} raised {type(error).__name__}: {error}.") from None


def _is_module(thing: object) -> bool:
    """Whether it is torch's, which is not imported to find out."""
    nn = sys.modules.get("torch.nn")
    return nn is not None and isinstance(thing, nn.Module)


def _source(factory: object) -> list[Path]:
    """The file that defines it, if Python knows one."""
    module = sys.modules.get(getattr(factory, "__module__", ""))
    file = inspect.getsourcefile(module) if module is not None else None
    return [Path(file)] if file is not None else []
