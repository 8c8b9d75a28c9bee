"""A file of rows that notes what is read of it."""

from typing import Any, ClassVar

import numpy as np


class Watched(np.memmap):
    """A memmap with the shape of each piece that it was asked for, in `asked`."""

    asked: ClassVar[list[tuple[int, ...]]] = []

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        Watched.asked.append(np.shape(found))
        return found
