"""Which source a model is of, told by what is there; ONNX files stay as they are."""

from collections.abc import Callable

from optimizer.errors import InputError
from optimizer.sources import boosters, factory, huggingface, scikit_learn
from optimizer.sources.base import Asked, Converted
from optimizer.sources.pytorch import source as pytorch
from optimizer.sources.tensorflow import source as tensorflow

# A test that costs nothing, and what converts: in this order, and the first that says yes.
_SOURCES: tuple[tuple[Callable[[Asked], bool], Callable[[Asked], Converted]], ...] = (
    (scikit_learn.is_mine, scikit_learn.convert),
    (boosters.is_xgboost, boosters.convert_xgboost),
    (boosters.is_lightgbm, boosters.convert_lightgbm),
    (boosters.is_catboost, boosters.convert_catboost),
    (pytorch.is_mine, pytorch.convert_file),
    (huggingface.is_mine, huggingface.convert),
    (tensorflow.is_mine, tensorflow.convert),
    (factory.is_mine, factory.converted),
)


def convert(asked: Asked) -> Converted | None:
    """The model as ONNX; None where it is an ONNX file, or nothing that any source knows.

    Raises:
        InputError: it is damaged, its extra is not installed, or it has an operator that ONNX lacks.
    """
    for is_mine, converted in _SOURCES:
        if is_mine(asked):
            return converted(asked)
    if asked.state_dict is not None:
        raise InputError("--state-dict holds the weights of a module:factory: name the factory as MODEL.")
    return None
