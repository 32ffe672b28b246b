"""The command ``coldpress`` and its subcommands, one file each."""
