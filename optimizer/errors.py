"""What a user can get wrong, as one sentence."""


class InputError(Exception):
    """The model, the data, the metric or an option is not usable.

    The message says what is wrong and what to do.
    """


def first_line(error: Exception) -> str:
    """What a library's error says, without the rest that is for its developers: a part of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")[:300]
