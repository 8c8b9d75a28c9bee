"""What several processes do together: sums, means, and what one of them tells the others.

A single process gets back what it has given.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pyro_vae.compiler.refusal import Refusal
from pyro_vae.distributed.process_group import is_first, world_size
from pyro_vae.distributed.watch import losses_told, wait_for

T = TypeVar("T")


class _State:
    """What this process is about.

    Attributes:
        interrupted: whether it got Ctrl-C.
        share: its share in the batch at hand, inside `batch_share`.
        alone: whether it may not wait for the others, inside `without_others`.
    """

    interrupted = False
    share: float | None = None
    alone = False


_state = _State()


def is_interrupted() -> bool:
    """Whether this process got Ctrl-C inside `interrupted_together`."""
    return _state.interrupted


def added_over_ranks(parts: Sequence[Tensor]) -> Tensor:
    """The sums over the processes of the numbers of several tensors, one after another.

    Raises:
        KeyboardInterrupt: in all of them, where one was interrupted inside `interrupted_together`.
        ProcessLost: another process has ended, or gives no sign of life.
    """
    interrupted = parts[0].new_tensor([_state.interrupted])
    sums = torch.cat([*(part.flatten() for part in parts), interrupted])
    if world_size() == 1:
        return sums[:-1]
    _wait(dist.all_reduce(sums, async_op=True), sums)
    if sums[-1] > 0:
        raise KeyboardInterrupt
    return sums[:-1]


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean over the processes, the same numbers in each.

    Raises:
        KeyboardInterrupt, ProcessLost: as `added_over_ranks`.
    """
    if world_size() == 1:
        return values
    sums = added_over_ranks([values])  # gloo has no ReduceOp.AVG
    return (sums / world_size()).reshape(values.shape)


def _wait(work: Any, values: Tensor) -> None:
    """Wait for an operation on some values; on a GPU the next operation there does."""
    if values.is_cuda:
        work.wait()
    else:
        wait_for(work)


@contextmanager
def _together() -> Iterator[None]:
    """Wait until all processes are here: the block takes no longer than its messages."""
    wait_for(dist.all_reduce(torch.zeros(1), async_op=True))
    with losses_told():
        yield


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
    _state.share = share
    try:
        yield
    finally:
        _state.share = None


@contextmanager
def without_others() -> Iterator[None]:
    """Inside the block, in which a graph is made, `batch_mean` is refused."""
    _state.alone = True
    try:
        yield
    finally:
        _state.alone = False


def batch_mean(part_mean: Tensor) -> Tensor:
    """The mean over the rows of the batch, from the mean over the rows at hand.

    They differ only inside `batch_share`.

    Example:
        >>> batch_mean(torch.ones(2))
        tensor([1., 1.])
    """
    if world_size() == 1 or _state.share is None:
        return part_mean
    if _state.alone:
        raise Refusal("its loss is of the rows of all processes, such as free bits")
    whole: Tensor = _Mean.apply(_state.share * part_mean)  # type: ignore[no-untyped-call]
    return whole


def gathered(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks."""
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        with _together():
            dist.all_gather_object(values, value)
    return values


def in_any(flag: bool) -> bool:
    """Whether it is so in some process.

    Example:
        >>> in_any(False), in_any(True)
        (False, True)
    """
    return any(gathered(flag))


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, in all of them; the others wait, and make nothing.

    Raises:
        Exception: that of the first process, also in the others.

    Example:
        >>> from_first(lambda: 3)
        3
    """
    if world_size() == 1:
        return make()
    made: list[Any] = [None, None]
    failure: Exception | None = None
    if is_first():
        try:
            made[0] = make()
        except Exception as error:
            failure = error
            made[1] = _plain(error)
    with _together():
        dist.broadcast_object_list(made, 0)
    if failure is not None:
        raise failure
    if made[1] is not None:
        raise made[1]
    whole: T = made[0]
    return whole


def _plain(error: Exception) -> Exception:
    """An error of Python with the same message, which every process can be sent."""
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror, error.filename)
    kinds = (ValueError, MemoryError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), RuntimeError)
    return kind(str(error))


def broadcast_parameters(module: nn.Module) -> None:
    """Every process takes the parameters and buffers of the first."""
    if world_size() > 1:
        with _together():
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
    """Inside the block Ctrl-C waits for the next sum over the processes, where all of them stop."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if world_size() == 1 or not in_main_thread:
        yield
        return

    def note(number: int, frame: Any) -> None:
        _state.interrupted = True

    former = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        _state.interrupted = False
