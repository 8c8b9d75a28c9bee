"""Sums over processes of one machine, which read each other's numbers in memory that they share.

gloo copies the numbers through sockets. Here a message of a byte says that they are written.
"""

import math
import mmap
import os
from collections.abc import Sequence
from functools import reduce
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from pyro_vae.distributed.collectives import added_over_ranks, in_any
from pyro_vae.distributed.connections import Connections, connected
from pyro_vae.distributed.process_group import is_first, rank, world_size

FEW = 3
"""So many processes each add up everything, which takes less time than a second message."""


def added_on_machine(parts: Sequence[Tensor]) -> Tensor:
    """`added_over_ranks`, by memory that the processes share where they can.

    They can on the CPU of one machine with Linux. The sums are made in the order of the ranks, so
    they have the same bits in every process and in every run.

    Raises:
        KeyboardInterrupt, ProcessLost: as `added_over_ranks`.

    Example:
        >>> added_on_machine([torch.ones(2, 1), torch.zeros(1)])
        tensor([1., 1., 0.])
    """
    dtype = reduce(torch.promote_types, (part.dtype for part in parts))
    length = sum(part.numel() for part in parts)
    if world_size() == 1 or parts[0].device.type != "cpu":
        return added_over_ranks(parts)
    rows = _rows_of_group(length * dtype.itemsize)
    if rows is None:
        return added_over_ranks(parts)
    return rows.added(parts, length, dtype)


class SharedRows:
    """A row of bytes for the numbers of each process, twice, in memory that all of them share.

    Two calls of `added` in a row take different halves, so nobody still reads what is overwritten:
    a process that writes in a half again has got the messages of the call between, and each process
    sends those after it has read the sums of the call before.

    Arguments:
        memory: the same in all processes, (2, number of processes, bytes of a row).
        rank: the row of this process.
        connections: to the others.
    """

    def __init__(self, memory: Tensor, rank: int, connections: Connections) -> None:
        self.memory = memory
        self.rank = rank
        self.connections = connections
        self.half = 0

    @property
    def size(self) -> int:
        """The bytes of a row."""
        return self.memory.shape[2]

    def added(self, parts: Sequence[Tensor], length: int, dtype: torch.dtype) -> Tensor:
        """The sums of the numbers of several tensors, one after another.

        Arguments:
            parts: the tensors.
            length: how many numbers they have together.
            dtype: of the sums.
        """
        half = self.memory[self.half, :, : length * dtype.itemsize]
        rows = half.view(dtype)
        self.half = 1 - self.half
        torch.cat([part.flatten() for part in parts], out=rows[self.rank])
        self.connections.meet()
        if len(rows) <= FEW:
            return _in_order(rows)
        own = rows.tensor_split(len(rows), dim=1)[self.rank]
        own[0] = _in_order(own)  # nobody else reads these numbers before the message
        self.connections.meet()
        return rows[0].clone()


def _in_order(rows: Tensor) -> Tensor:
    """The sum of the rows, from the first to the last."""
    total = rows[0] + rows[1]
    for row in rows[2:]:
        total += row
    return total


_made: WeakKeyDictionary[dist.ProcessGroup, SharedRows | None] = WeakKeyDictionary()
"""The memory of each group of processes; None where they can share none."""


def _rows_of_group(size: int) -> SharedRows | None:
    """The memory of this group, with rows of so many bytes at least; all processes ask for it."""
    group = dist.group.WORLD
    assert group is not None
    if group not in _made:
        connections = connected()
        _made[group] = None
        if connections is not None:
            _made[group] = _made_together(size, connections)
    rows = _made[group]
    if rows is not None and rows.size < size:
        _made[group] = rows = _made_together(size, rows.connections)
    return rows


def _made_together(size: int, connections: Connections) -> SharedRows | None:
    """Memory with rows of so many bytes; None where one of the processes can't have it."""
    whole_pages = math.ceil(size / mmap.PAGESIZE) * mmap.PAGESIZE
    shape = (2, world_size(), whole_pages)
    file = _new_file(math.prod(shape)) if is_first() else None
    if file is not None:
        connections.give(file)
    if in_any(is_first() and file is None):
        return None
    if not is_first():
        file = connections.given(0)
    memory = _mapped(file, math.prod(shape))
    if in_any(memory is None) or memory is None:
        return None
    return SharedRows(memory.view(shape), rank(), connections)


def _new_file(size: int) -> int | None:
    """A file in memory without a name, which is gone with the last process that has it open."""
    file = None
    try:
        file = _nameless()
        os.posix_fallocate(file, 0, size)  # else a write without room would be a SIGBUS
    except OSError:
        if file is not None:
            os.close(file)
        return None
    return file


def _nameless() -> int:
    if hasattr(os, "memfd_create"):  # not in a Python that was built for older systems
        return os.memfd_create("pyro_vae")
    return os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)  # tight in containers


def _mapped(file: int | None, size: int) -> Tensor | None:
    """The bytes of a file, which is closed; None where there is no room for them."""
    if file is None:
        return None
    try:
        return torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8)
    except OSError:
        return None
    finally:
        os.close(file)
