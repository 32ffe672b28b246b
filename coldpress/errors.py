"""What a subcommand raises when its input is wrong or something it needs is missing: one sentence."""


class CommandError(Exception):
    """Printed as it is; the exit status is 2."""
