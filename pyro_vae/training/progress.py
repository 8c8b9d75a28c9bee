"""The progress of `fit`: a bar on a terminal or in a notebook, and lines in a log."""

import sys
import time
from types import TracebackType
from typing import Self

from pyro_vae.progress_bar import is_interactive, progress_bar

SECONDS = 60.0
"""Smallest time between two lines of a log."""
SHOWN = {"elbo": "elbo", "val_elbo": "validation", "rate": "rate"}
"""Columns of the history that are shown, and what they are called."""


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
        self.has_lines = shown is None and not is_interactive()
        self.done = done
        self.total = total
        self.bar = progress_bar(
            shown, initial=done, total=total, desc="fit", unit="step"
        )
        self.first = done
        self.start = time.monotonic()
        self.written = self.start

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
        """Show that the step is being compiled, in which time the bar doesn't move."""
        self.bar.set_postfix_str("compiling the step")
        if self.has_lines:
            _write("fit: compiling the step, which takes some 20 seconds")

    def advance(self, steps: int) -> None:
        """So many more steps are made."""
        self.done += steps
        self.bar.update(steps)

    def epoch(self, row: dict[str, float]) -> None:
        """An epoch is over, with that row of the history."""
        shown = [
            f"{label} {row[name]:.2f}" for name, label in SHOWN.items() if name in row
        ]
        text = ", ".join(shown)
        self.bar.set_postfix_str(text)
        now = time.monotonic()
        if not self.has_lines or now - self.written < SECONDS:
            return
        self.written = now
        seconds_per_step = (now - self.start) / (self.done - self.first)
        left = seconds_per_step * (self.total - self.done)
        _write(f"fit: {self.done} of {self.total} steps, {text}, {_minutes(left)} left")


def _minutes(seconds: float) -> str:
    """A time in whole minutes, at least one.

    Example:
        >>> _minutes(50), _minutes(200)
        ('1 min', '3 min')
    """
    return f"{max(1, round(seconds / 60))} min"


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
