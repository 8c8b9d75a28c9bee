"""The processes of one run, as `torchrun` starts them: which of them this one is, and what they
tell each other.

A process alone is rank 0 of 1, and every function here leaves what it is given as it is.
"""

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pyro_vae.distributed.launch import launched

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)
"""How long a process waits for another one that lives and says nothing; one that has ended is
noticed at once.
"""


class _Group:
    """What a process knows of its group besides torch: the store, whether it was interrupted, what
    its rows weigh.
    """

    store: Any = None
    interrupted = False
    weight: float | None = None


_group, _joinings = _Group(), count()


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
    """The processes that torchrun started are one group inside the block; a process alone stays
    alone.

    Tensors on the CPU travel by gloo and those on GPUs by nccl; "cuda" means the GPU of this
    process. A process that leaves the block, with an error too, is gone for the others: what they
    ask of it is a RuntimeError.

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
    _group.store = PrefixStore(f"pyro_vae {next(_joinings)}", store)
    gpu = int(os.environ["LOCAL_RANK"])
    has_gpu = torch.cuda.is_available() and gpu < torch.cuda.device_count()
    former = torch.cuda.current_device() if has_gpu else -1
    torch.cuda.set_device(gpu if has_gpu else -1)  # a negative number changes nothing
    backend = "cpu:gloo,cuda:nccl" if has_gpu and dist.is_nccl_available() else "gloo"
    dist.init_process_group(
        backend, store=_group.store, rank=number, world_size=size, timeout=PATIENCE
    )
    try:
        yield
    finally:
        dist.destroy_process_group()
        _group.store = None
        torch.cuda.set_device(former)


def first_to_fail() -> bool:
    """Whether no other process has said this before: of several that fail, the first one tells why."""
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
    here, there = int(os.environ.get("LOCAL_WORLD_SIZE", world_size())), torch.cuda.device_count()
    if here > there:
        raise ValueError(
            f"device: {here} processes need as many GPUs, got {there}; start fewer, or take "
            "device='cpu'"
        )
    return torch.device("cuda", torch.cuda.current_device())


def seed_of_rank(seed: int) -> int:
    """A seed for each process, from the seed of the run: `seed` itself for the first, a hash for
    the others.

    Example:
        >>> seed_of_rank(7)
        7
    """
    digest = hashlib.blake2b(f"{seed} {rank()}".encode(), digest_size=7).digest()
    return seed if is_first() else int.from_bytes(digest, "big")


def part_of_rank(batch: Tensor) -> tuple[Tensor, float]:
    """The rows of a batch that are this process's, and the weight wᵣ = W nᵣ / n of their mean.

    With it the mean over the W processes, (1/W) Σᵣ wᵣ meanᵣ, is the mean over the n rows of the
    batch, also where n can't be divided by W. A process without a row takes the first one, with
    weight 0.

    Example:
        >>> part_of_rank(torch.zeros(5, 2))[1]
        1.0
    """
    part = batch.tensor_split(world_size())[rank()]
    return (part if len(part) else batch[:1]), world_size() * len(part) / len(batch)


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean over the processes, the same numbers in each.

    Raises:
        KeyboardInterrupt: in all of them, where one was interrupted inside `interrupted_together`.
    """
    return begin_mean_over_ranks(values)()


def begin_mean_over_ranks(values: Tensor) -> Callable[[], Tensor]:
    """`mean_over_ranks`, begun now, and waited for by calling what is returned."""
    if world_size() == 1:
        return lambda: values
    told = torch.cat([values.flatten(), values.new_tensor([_group.interrupted])])
    work = dist.all_reduce(told, async_op=True)

    def wait() -> Tensor:
        work.wait()
        if told[-1] > 0:
            raise KeyboardInterrupt
        return (told[:-1] / world_size()).reshape(values.shape)

    return wait


class _Mean(torch.autograd.Function):
    """`mean_over_ranks` with a gradient: what comes back to one process is the mean of what comes
    back to all.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return mean_over_ranks(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return mean_over_ranks(gradient)


@contextmanager
def weighing(weight: float) -> Iterator[None]:
    """Inside the block the rows at hand are the part of a batch that `part_of_rank` gave with this
    weight.
    """
    _group.weight = weight
    try:
        yield
    finally:
        _group.weight = None


def batch_mean(part_mean: Tensor) -> Tensor:
    """The mean over the rows of the batch, from that over the rows at hand: another one only inside
    `weighing`.

    Example:
        >>> batch_mean(torch.ones(2))
        tensor([1., 1.])
    """
    if world_size() == 1 or _group.weight is None:
        return part_mean
    whole: Tensor = _Mean.apply(_group.weight * part_mean)  # type: ignore[no-untyped-call]
    return whole


def gathered(value: T) -> list[T]:
    """The values of all processes, in their order."""
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def make_alike(module: nn.Module) -> None:
    """Every process takes the parameters and buffers of the first."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def average_buffers(module: nn.Module) -> None:
    """Every floating-point buffer becomes its mean over the processes; those that are alike stay as
    they are.

    Running statistics, such as BatchNorm's, are linear in those of their batches: the mean over the
    processes is what one process would have from the batches of all.
    """
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if world_size() == 1 or not buffers:
        return
    means = mean_over_ranks(torch.cat([buffer.double().flatten() for buffer in buffers]))
    for buffer, new in zip(
        buffers, means.split([buffer.numel() for buffer in buffers]), strict=True
    ):
        buffer.copy_(new.reshape(buffer.shape))


@contextmanager
def interrupted_together() -> Iterator[None]:
    """Inside the block Ctrl-C waits for the next `mean_over_ranks`, where all processes stop at the
    same place.
    """
    if world_size() == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: Any) -> None:
        _group.interrupted = True

    former = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        _group.interrupted = False
