"""What a user can get wrong, as one sentence."""


class InputError(Exception):
    """The model, the data, the metric or an option is not usable.

    The message says what is wrong and what to do.
    """
