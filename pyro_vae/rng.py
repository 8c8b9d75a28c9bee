"""Random numbers of our own: a block that draws from its own seed and leaves the caller's
generators as they were.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pyro_vae.arguments import as_int
from pyro_vae.threads import alone


def row_seed(row: Tensor, purpose: str) -> int:
    """A seed for a row and a purpose that is the row's own, whatever stands beside it: a hash of
    its numbers.

    Example:
        >>> row_seed(torch.zeros(3), "draws 0") == row_seed(torch.zeros(1, 3), "draws 0")
        True
    """
    return _digest(row, purpose, 7)


def row_hash(row: Tensor) -> int:
    """A number below 2**64 that is the same for equal rows and hardly ever for others, by their
    numbers as float32.

    Example:
        >>> row_hash(torch.full((3,), 0.1)) == row_hash(torch.full((3,), 0.1).double()) != row_hash(torch.ones(3))
        True
    """
    return _digest(row.float(), "", 8)


def _digest(row: Tensor, purpose: str, size: int) -> int:
    row = row.float() if row.dtype == torch.bfloat16 else row  # NumPy has no bfloat16
    digest = hashlib.blake2b(
        row.cpu().numpy().tobytes(), key=purpose.encode(), digest_size=size
    ).digest()
    return int.from_bytes(digest, "big")


@contextmanager
def own_seed(seed: int, device: torch.device | str = "cpu") -> Iterator[Callable[[int], None]]:
    """Run a block under `seed`; afterwards torch's generators (CPU and `device`) are where they
    were.

    The block gets a function that starts the generators again, from another seed. The generators
    are those of the process: of several threads one is inside such a block at a time.

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
    with alone():
        used = generators(torch.device(device))
        states = [generator.get_state() for generator in used]

        def start(seed: int) -> None:
            for generator in used:
                generator.manual_seed(seed)

        try:
            start(first)
            yield start
        finally:
            for generator, state in zip(used, states, strict=True):
                generator.set_state(state)


class Stream:
    """Random numbers from a seed of their own, which go on where they stopped: inside `drawn()`
    torch draws them.

    Arguments:
        seed: any integer below 2**63.
        device: the device whose generator is used besides the CPU's.

    Example:
        >>> stream = Stream(0)
        >>> with stream.drawn():
        ...     first = torch.rand(1)
        >>> with stream.drawn():
        ...     second = torch.rand(1)
        >>> torch.manual_seed(0).initial_seed(), bool((torch.rand(2) == torch.cat([first, second])).all())
        (0, True)
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.generators = generators(torch.device(device))
        with own_seed(seed, device):
            self.states = [generator.get_state() for generator in self.generators]

    @contextmanager
    def drawn(self) -> Iterator[None]:
        with alone():
            before = [generator.get_state() for generator in self.generators]
            self._set(self.states)
            try:
                yield
            finally:
                self.states = [generator.get_state() for generator in self.generators]
                self._set(before)

    def _set(self, states: list[Tensor]) -> None:
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)


def generators(device: torch.device) -> list[torch.Generator]:
    """torch's own generators: that of the CPU, and that of `device` where it is a GPU.

    Example:
        >>> len(generators(torch.device("cpu")))
        1
    """
    if device.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()
    index = torch.cuda.current_device() if str(device) == "cuda" else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
