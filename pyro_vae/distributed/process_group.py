"""The processes of one run, as `torchrun` starts them: their ranks, and means over them.

A single process is rank 0 of 1, and every function here returns what it is given.
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
TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another that is alive; one that has ended is noticed at once."""


class _Group:
    """The state of this process in its group, besides torch's.

    Attributes:
        store: torch's key-value store, which all processes share.
        interrupted: whether this process got Ctrl-C.
        share: the share of this process in the batch at hand, inside `batch_share`.
    """

    store: Any = None
    interrupted = False
    share: float | None = None


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
    process. When a process leaves the block, also by an error, the others get a RuntimeError as
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
    _group.store = PrefixStore(f"pyro_vae {next(_joinings)}", store)
    gpu = int(os.environ["LOCAL_RANK"])
    has_gpu = torch.cuda.is_available() and gpu < torch.cuda.device_count()
    former = torch.cuda.current_device() if has_gpu else -1
    torch.cuda.set_device(gpu if has_gpu else -1)  # a negative number changes nothing
    backend = "cpu:gloo,cuda:nccl" if has_gpu and dist.is_nccl_available() else "gloo"
    dist.init_process_group(
        backend, store=_group.store, rank=number, world_size=size, timeout=TIMEOUT
    )
    try:
        yield
    finally:
        dist.destroy_process_group()
        _group.store = None
        torch.cuda.set_device(former)


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


def seed_of_rank(seed: int) -> int:
    """A seed for each process from the seed of the run: itself for the first, else a hash.

    Example:
        >>> seed_of_rank(7)
        7
    """
    if is_first():
        return seed
    digest = hashlib.blake2b(f"{seed} {rank()}".encode(), digest_size=7)
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


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean over the processes, the same numbers in each.

    Raises:
        KeyboardInterrupt: in all of them, where one was interrupted inside `interrupted_together`.
    """
    return begin_mean_over_ranks(values)()


def begin_mean_over_ranks(values: Tensor) -> Callable[[], Tensor]:
    """Start `mean_over_ranks`; the function that is returned waits for the means."""
    if world_size() == 1:
        return lambda: values
    interrupted = values.new_tensor([_group.interrupted])
    sums = torch.cat([values.flatten(), interrupted])
    work = dist.all_reduce(sums, async_op=True)  # gloo has no ReduceOp.AVG

    def wait() -> Tensor:
        work.wait()
        if sums[-1] > 0:
            raise KeyboardInterrupt
        return (sums[:-1] / world_size()).reshape(values.shape)

    return wait


class _Mean(torch.autograd.Function):
    """`mean_over_ranks` with a gradient, which is the mean of the gradients of all processes.

    torch.distributed.nn.functional.all_reduce, which did this, is deprecated.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return mean_over_ranks(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return mean_over_ranks(gradient)


@contextmanager
def batch_share(share: float) -> Iterator[None]:
    """Inside the block the rows at hand are a part of a batch, with the share of `part_of_rank`."""
    _group.share = share
    try:
        yield
    finally:
        _group.share = None


def batch_mean(part_mean: Tensor) -> Tensor:
    """The mean over the rows of the batch, from the mean over the rows at hand.

    They differ only inside `batch_share`.

    Example:
        >>> batch_mean(torch.ones(2))
        tensor([1., 1.])
    """
    if world_size() == 1 or _group.share is None:
        return part_mean
    whole: Tensor = _Mean.apply(_group.share * part_mean)  # type: ignore[no-untyped-call]
    return whole


def gathered(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks."""
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def broadcast_parameters(module: nn.Module) -> None:
    """Every process takes the parameters and buffers of the first."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def average_buffers(module: nn.Module) -> None:
    """Every floating-point buffer becomes its mean over the processes.

    Running statistics, such as BatchNorm's, are linear in those of their batches: the mean over the
    processes is what one process would have from the batches of all. Buffers that are the same in
    all processes stay as they are.
    """
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if world_size() == 1 or not buffers:
        return
    flat = torch.cat([buffer.double().flatten() for buffer in buffers])
    sizes = [buffer.numel() for buffer in buffers]
    means = mean_over_ranks(flat).split(sizes)
    for buffer, mean in zip(buffers, means, strict=True):
        buffer.copy_(mean.reshape(buffer.shape))


@contextmanager
def interrupted_together() -> Iterator[None]:
    """Inside the block Ctrl-C waits for the next `mean_over_ranks`, where all processes stop."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if world_size() == 1 or not in_main_thread:
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
