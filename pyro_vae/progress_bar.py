"""Progress bars, which all functions show or hide by the same rule."""

import sys
import threading
from typing import Any

from tqdm.auto import tqdm


class Bar(tqdm):
    """tqdm's bar with a lock of its own, and without a thread.

    For its first bar, also for one that shows nothing, tqdm makes a lock of `multiprocessing`, from
    which on `multiprocessing.set_start_method` fails, and starts a thread, after which Python warns
    of each fork. The thread is for bars that look at the clock too seldom; this one does at each
    step.
    """

    _lock = getattr(tqdm, "_lock", None) or threading.RLock()
    monitor_interval = 0


def progress_bar(progress: bool | None, **options: Any) -> Any:
    """A bar on stderr, or one that shows nothing.

    tqdm's own rule (`disable=None`) would hide the bar in a notebook.

    Arguments:
        progress: True shows the bar and False hides it; None shows it on a terminal or in a
            notebook.
        **options: of tqdm: the iterable, total, desc, unit, ...

    Example:
        >>> with progress_bar(False, total=10, unit="row") as bar:
        ...     bar.update(10)
    """
    shown = is_interactive() if progress is None else progress
    return Bar(disable=not shown, dynamic_ncols=True, miniters=1, **options)


def is_interactive() -> bool:
    """Whether stderr is a terminal, or tqdm's bars are those of a notebook."""
    is_notebook = any(kind.__name__ == "tqdm_notebook" for kind in Bar.__mro__)
    return is_notebook or sys.stderr.isatty()
