"""The history of a run from its file: a record for each epoch, and which of them is the best."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path


def read_history(file: Path) -> list[dict[str, float]]:
    """The records of `history.csv`; an empty cell is nan.

    Raises:
        OSError: no such file.
        TypeError, ValueError: a file that isn't a history.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "history.csv")
        >>> _ = file.write_text("epoch,elbo,val_loss\\n1,-9.5,\\n")
        >>> read_history(file)
        [{'epoch': 1, 'elbo': -9.5, 'val_loss': nan}]
    """
    with file.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    return [{name: _number(cell) for name, cell in line.items()} for line in lines]


def _number(cell: str) -> float:
    """A cell as it was written: epochs are whole."""
    if str(cell).isdigit():
        return int(cell)
    return float(cell or math.nan)


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The epoch whose weights are kept: that of the lowest val_loss; without any the last; else 0.

    Example:
        >>> best_epoch([{"epoch": 1.0, "val_loss": 3.0}, {"epoch": 2.0, "val_loss": 4.0}])
        1
        >>> best_epoch([{"epoch": 1.0}, {"epoch": 2.0}])
        2
    """
    known = [row for row in history if math.isfinite(row.get("val_loss", math.nan))]
    if known:
        return int(min(known, key=lambda row: row["val_loss"])["epoch"])
    return int(history[-1]["epoch"]) if history else 0
