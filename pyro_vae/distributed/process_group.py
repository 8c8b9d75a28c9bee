"""The processes of one run, as `torchrun` starts them: their group, and their ranks in it.

A single process is rank 0 of 1.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pyro_vae.distributed.launch import launched, restarts
from pyro_vae.distributed.watch import giving_signs, keep_giving_signs, patience

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another that is alive; one that has ended is noticed at once."""


class _Group:
    """The state of this process in its group, besides torch's.

    Attributes:
        store: torch's key-value store, which all processes share.
    """

    store: Any = None


_group = _Group()
_joinings = count()


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """The processes that torchrun started are one group inside the block.

    Tensors on the CPU travel by gloo and those on GPUs by nccl; "cuda" means the GPU of this
    process. When a process leaves the block, also by an error, the others get a ProcessLost as
    soon as they communicate. A process that torchrun didn't start stays alone.

    Example:
        >>> with joined():
        ...     rank(), world_size()
        (0, 1)
    """
    if not launched() or world_size() > 1:
        yield
        return
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, number, size = next(rendezvous("env://"))
    # torchrun's store outlives a restart, with the addresses of the processes before (torch 2.13)
    _group.store = PrefixStore(f"pyro_vae {restarts()} {next(_joinings)}", store)
    gpu = int(os.environ["LOCAL_RANK"])
    has_gpu = torch.cuda.is_available() and gpu < torch.cuda.device_count()
    former = torch.cuda.current_device() if has_gpu else -1
    torch.cuda.set_device(gpu if has_gpu else -1)  # a negative number changes nothing
    backend = "cpu:gloo,cuda:nccl" if has_gpu and dist.is_nccl_available() else "gloo"
    dist.init_process_group(
        backend, store=_group.store, rank=number, world_size=size, timeout=TIMEOUT
    )
    try:
        with giving_signs(_group.store, number, size):
            yield
    finally:
        dist.destroy_process_group()
        _group.store = None
        torch.cuda.set_device(former)


@contextmanager
def watched(seconds: float | None = None) -> Iterator[None]:
    """Inside the block a process that gives no sign of life for so many seconds is named.

    Also in a group that the user has made; None leaves the seconds as they are.
    """
    if world_size() > 1 and _group.store is None:
        keep_giving_signs(rank(), world_size())
    with patience(seconds):
        yield


def first_failure() -> bool:
    """Whether this is the first process that fails: the others fail because of it."""
    return _group.store is None or _group.store.add("failures", 1) == 1


def device_of_rank(device: torch.device) -> torch.device:
    """The device of this process where `device` is meant for all: its own GPU.

    Raises:
        ValueError: a GPU by its number, or fewer GPUs than processes.
    """
    if world_size() == 1 or device.type != "cuda":
        return device
    if str(device) != "cuda":
        raise ValueError(
            f"device: expected cpu, cuda or auto in {world_size()} processes, got '{device}'; take "
            "'cuda'"
        )
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
    gpus = torch.cuda.device_count()
    if processes > gpus:
        raise ValueError(
            f"device: {processes} processes need as many GPUs, got {gpus}; start fewer, or take "
            "device='cpu'"
        )
    return torch.device("cuda", torch.cuda.current_device())


def seed_of_rank(seed: int, epochs: int = 0) -> int:
    """A seed for each process from the seed of the run: itself for the first, else a hash.

    Arguments:
        seed: of the run.
        epochs: those made by another number of processes, whose noise is not to come again.

    Example:
        >>> seed_of_rank(7), seed_of_rank(7, 2) == seed_of_rank(7, 3)
        (7, False)
    """
    if is_first() and not epochs:
        return seed
    text = f"{seed} {rank()} {epochs}" if epochs else f"{seed} {rank()}"
    digest = hashlib.blake2b(text.encode(), digest_size=7)
    return int.from_bytes(digest.digest(), "big")


def part_of_rank(batch: Tensor) -> tuple[Tensor, float]:
    """The rows of a batch for this process, and their share wᵣ = W nᵣ / n.

    The mean over the W processes, (1/W) Σᵣ wᵣ meanᵣ, is then the mean over the n rows of the
    batch, also where W does not divide n. A process without a row takes the first one, with
    share 0.

    Example:
        >>> part_of_rank(torch.zeros(5, 2))[1]
        1.0
    """
    part = batch.tensor_split(world_size())[rank()]
    share = world_size() * len(part) / len(batch)
    return (part if len(part) else batch[:1]), share
