"""Why a model is left as it was before training: what follows upon "training is left out:"."""


class CannotTrain(Exception):
    """Training is left out; the model from before it is as good as it was."""


class UnsupportedOp(CannotTrain):
    """The graph holds operators that cannot be trained through, or uses them in unknown ways."""
