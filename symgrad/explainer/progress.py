"""What a page is waiting for, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown_on_stderr(count: int) -> Iterator[Callable[[str], None]]:
    """Give a function that is told what begins; it shows that, on a terminal only.

    Args:
        count: how many things there are to be done.
    """
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as p:
        task = p.add_task("", total=count)
        begun = 0

        def begin(what: str) -> None:
            nonlocal begun
            p.update(task, description=what, completed=begun)
            begun += 1

        yield begin
