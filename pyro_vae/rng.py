"""Random numbers from a seed of their own, which leave the caller's generators as they were."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor

from pyro_vae.arguments import as_int
from pyro_vae.threads import alone


def row_seed(row: Tensor, purpose: str) -> int:
    """A seed for a row and a purpose: a hash of its numbers, whatever the rest of the batch is.

    Example:
        >>> row_seed(torch.zeros(3), "draws 0") == row_seed(torch.zeros(1, 3), "draws 0")
        True
    """
    return _digest(row, purpose, 7)


def row_hash(row: Tensor) -> int:
    """A hash below 2**64 of the numbers of a row as float32.

    Example:
        >>> row = torch.full((3,), 0.1)
        >>> row_hash(row) == row_hash(row.double()), row_hash(row) == row_hash(2 * row)
        (True, False)
    """
    return _digest(row.float(), "", 8)


def _digest(row: Tensor, purpose: str, size: int) -> int:
    if row.dtype == torch.bfloat16:  # NumPy has none
        row = row.float()
    numbers = row.cpu().numpy()
    if row.is_floating_point():
        # of the many kinds of nan, one stands for all
        numbers = np.where(np.isnan(numbers), numbers.dtype.type(np.nan), numbers)
    digest = hashlib.blake2b(numbers.tobytes(), key=purpose.encode(), digest_size=size)
    return int.from_bytes(digest.digest(), "big")


@contextmanager
def own_seed(
    seed: int, device: torch.device | str = "cpu"
) -> Iterator[Callable[[int], None]]:
    """Run a block under `seed`; torch's generators are as before after it.

    The block gets a function that seeds the generators again. They belong to the process: of
    several threads one is inside such a block at a time.

    Arguments:
        seed: any integer below 2**63.
        device: the device whose generator the block uses besides the CPU's.

    Raises:
        ValueError: a seed that is no integer.

    Example:
        >>> before = torch.get_rng_state()
        >>> with own_seed(0):
        ...     noise = torch.randn(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    first = as_int(seed, "seed")
    used = generators(torch.device(device))

    def start(seed: int) -> None:
        for generator in used:  # torch.manual_seed would seed the other GPUs too
            generator.manual_seed(seed)

    with alone(), _forked(torch.device(device)):
        start(first)
        yield start


class Stream:
    """Random numbers from a seed of their own, drawn by torch inside `drawn()`.

    Each block goes on where the last one stopped.

    Arguments:
        seed: any integer below 2**63.
        device: the device whose generator is used besides the CPU's.

    Example:
        >>> stream = Stream(0)
        >>> with stream.drawn():
        ...     first = torch.rand(1)
        >>> with stream.drawn():
        ...     second = torch.rand(1)
        >>> generator = torch.Generator().manual_seed(0)
        >>> bool((torch.rand(2, generator=generator) == torch.cat([first, second])).all())
        True
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generators = generators(self.device)
        with own_seed(seed, device):
            self.states = self._current()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """torch draws from this stream inside the block."""
        with alone(), _forked(self.device):
            for generator, state in zip(self.generators, self.states, strict=True):
                generator.set_state(state)
            try:
                yield
            finally:
                self.states = self._current()

    def _current(self) -> list[Tensor]:
        return [generator.get_state() for generator in self.generators]


def _forked(device: torch.device) -> AbstractContextManager[None]:
    """Inside the block the generators of the CPU and of `device` may change; then they are back."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def generators(device: torch.device) -> list[torch.Generator]:
    """torch's default generators: that of the CPU, and that of `device` where it is a GPU.

    Example:
        >>> len(generators(torch.device("cpu")))
        1
    """
    if device.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()
    index = torch.cuda.current_device() if str(device) == "cuda" else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
