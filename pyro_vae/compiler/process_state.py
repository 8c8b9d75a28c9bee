"""What torch's compiler changes in the process, and how it is left as it was."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

POINTER = "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR"
"""A variable of the environment that torch sets anew for each graph."""


@contextmanager
def process_unchanged() -> Iterator[None]:
    """After the block the limit of recursion, the environment and tqdm's bars are as before.

    The path of modules isn't: setuptools, which torch's compiler imports, needs what it adds there.

    Example:
        >>> before = sys.getrecursionlimit()
        >>> with process_unchanged():
        ...     sys.setrecursionlimit(before + 1)
        >>> sys.getrecursionlimit() == before
        True
    """
    limit = sys.getrecursionlimit()
    pointer = os.environ.get(POINTER)
    try:
        with _bars_alone():
            yield
    finally:
        sys.setrecursionlimit(limit)
        if pointer is None:
            os.environ.pop(POINTER, None)


@contextmanager
def _bars_alone() -> Iterator[None]:
    """tqdm's bars neither make a lock of `multiprocessing`, whose start method is fixed by that,
    nor start a thread.
    """
    bars: Any = tqdm
    interval = bars.monitor_interval
    has_lock = hasattr(bars, "_lock")
    bars.monitor_interval = 0
    if not has_lock:
        bars.set_lock(threading.RLock())
    try:
        yield
    finally:
        bars.monitor_interval = interval
        if not has_lock:
            del bars._lock
