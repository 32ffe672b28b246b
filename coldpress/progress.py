"""A bar on a terminal while files go to the registry or come from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn


@contextmanager
def transfer(what: str, size: int) -> Iterator[Callable[[str, int], None]]:
    """What to call with the name and the size in bytes of each file that is done, of ``size`` in all."""
    console = Console(stderr=True)
    columns = (TextColumn(f"{what} {{task.fields[file]}}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=size, file="")
        yield lambda name, done: progress.update(task, advance=done, file=name)
