"""Why a model is left as it was before training, in one sentence."""


class CannotTrain(Exception):
    """Training is left out; the model from before it is as good as it was."""


class UnsupportedOp(CannotTrain):
    """The graph holds operators that cannot be trained through, or uses them in unknown ways."""
