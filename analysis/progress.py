"""Progress bars of the analysis, all with one meaning of `progress`."""

from typing import Any

from tqdm.auto import tqdm


def progress_bar(progress: bool | None, *, total: int, desc: str, unit: str) -> Any:
    """A progress bar on stderr, as a context manager with a method `update`.

    Arguments:
        progress: whether to show it; None shows it on a terminal only.
        total: the number of units.
        desc: what is being done.
        unit: what is counted.

    Example:
        >>> with progress_bar(False, total=3, desc="rows", unit="row") as bar:
        ...     bar.update(3)
    """
    # tqdm's disable=None hides the bar where stderr is not a terminal
    disable = None if progress is None else not progress
    return tqdm(total=total, disable=disable, desc=desc, unit=unit, dynamic_ncols=True)
