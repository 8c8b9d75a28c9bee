"""What is seen of a run while it goes on: a bar on a terminal or in a notebook, a line a minute in
a log.
"""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

SECONDS = 60.0
"""Between two lines of a log."""
SHOWN = {"elbo": "elbo", "val_elbo": "validation", "rate": "rate"}


class Progress:
    """The steps of a run, as a bar or as lines on stderr.

    Arguments:
        done, total: steps made before, and of the whole run.
        shown: True shows a bar and False nothing; None shows a bar on a terminal or in a notebook,
            and elsewhere a line a minute.

    Example:
        >>> with Progress(0, 10, shown=False) as progress:
        ...     progress.advance(10)
    """

    def __init__(self, done: int, total: int, *, shown: bool | None) -> None:
        bar = _interactive() if shown is None else shown
        self.lines = shown is None and not bar
        self.done, self.total = done, total
        self.bar: Any = tqdm(
            initial=done, total=total, disable=not bar, desc="fit", unit="step", dynamic_ncols=True
        )
        self.first, self.began = done, time.monotonic()
        self.written = self.began

    def __enter__(self) -> Self:
        self.bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.bar.__exit__(kind, error, at)

    def compiling(self) -> None:
        """Say that the step is being compiled, which takes so long that it looks like standing
        still.
        """
        self.bar.set_postfix_str("compiling the step")
        if self.lines:
            _write("fit: compiling the step, which takes some 20 seconds")

    def advance(self, steps: int) -> None:
        """So many more steps are made."""
        self.done += steps
        self.bar.update(steps)

    def epoch(self, row: dict[str, float]) -> None:
        """An epoch is over, with that row of the history."""
        words = ", ".join(f"{word} {row[name]:.2f}" for name, word in SHOWN.items() if name in row)
        self.bar.set_postfix_str(words)
        now = time.monotonic()
        if not self.lines or now - self.written < SECONDS:
            return
        self.written = now
        left = (now - self.began) / (self.done - self.first) * (self.total - self.done)
        _write(f"fit: {self.done} of {self.total} steps, {words}, {_span(left)} left")


def _interactive() -> bool:
    """Whether stderr is a terminal, or the bar is a notebook's."""
    notebook = any(kind.__name__ == "tqdm_notebook" for kind in tqdm.__mro__)
    return notebook or sys.stderr.isatty()


def _span(seconds: float) -> str:
    """A time in words.

    Example:
        >>> _span(50), _span(200)
        ('1 min', '3 min')
    """
    return f"{max(1, round(seconds / 60))} min"


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
