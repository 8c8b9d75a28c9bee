"""A function of tensors on a GPU, recorded once as a CUDA graph and replayed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_vae.arguments import warn_caller

Function = Callable[..., tuple[Tensor, ...]]
Work = Callable[[], Sequence[Tensor]]
Record = Callable[[Work], tuple[Sequence[Tensor], Callable[[], None]]]


class CUDAGraphed:
    """`function(*buffers, *inputs)` as a CUDA graph, which is recorded at the first call.

    Its kernels start without Python. Buffers are read and changed where they are; inputs are copied
    to where the recording reads them, and results are copies too. A call whose buffers are
    elsewhere runs the function without the recording.

    Arguments:
        function: has been called before, so that its kernels are loaded; the recording runs
            nothing.
        num_inputs: how many of its last arguments are inputs.
        record: records some work, which does not run meanwhile; gives its future results, and a
            function that replays it.

    Example:
        >>> def later(work):  # stands in for a GPU
        ...     results = []
        ...     return results, lambda: results.__setitem__(slice(None), work())
        >>> double = CUDAGraphed(lambda weight, x: (2 * weight * x,), num_inputs=1, record=later)
        >>> weight = torch.ones(2)
        >>> x = torch.tensor([1.0, 2.0])
        >>> double(weight, x), double(weight.mul_(3), x)
        ((tensor([2., 4.]),), (tensor([ 6., 12.]),))
    """

    def __init__(
        self,
        function: Function,
        num_inputs: int,
        record: Record | None = None,
    ) -> None:
        self.function = function
        self.num_inputs = num_inputs
        self.record = record or recorded
        self.recording: _Recording | None = None

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        buffers = tensors[: -self.num_inputs]
        inputs = tensors[-self.num_inputs :]
        if self.recording is None:
            self.recording = self._recorded(buffers, inputs)
        # Applied averages, for example, give the weights other memory for a while.
        if self.recording.addresses != _addresses(buffers):
            return self.function(*tensors)
        for copy, new in zip(self.recording.inputs, inputs, strict=True):
            copy.copy_(new)
        self.recording.replay()
        # The next replay writes to the same results.
        return tuple(result.clone() for result in self.recording.results)

    def _recorded(
        self, buffers: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> "_Recording":
        copies = [tensor.clone() for tensor in inputs]
        try:
            results, replay = self.record(lambda: self.function(*buffers, *copies))
        except RuntimeError as error:
            warn_caller(
                f"fit: the compiled step can't be recorded and is called each time: {error}"
            )
            return _Recording([], [], (), lambda: None)
        return _Recording(_addresses(buffers), copies, results, replay)


class _Recording(NamedTuple):
    """A recorded function.

    Attributes:
        addresses: of its buffers.
        inputs: the tensors that it reads as inputs.
        results: the tensors that it writes.
        replay: runs it.
    """

    addresses: list[int]
    inputs: list[Tensor]
    results: Sequence[Tensor]
    replay: Callable[[], None]


def _addresses(tensors: Sequence[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def recorded(work: Work) -> tuple[Sequence[Tensor], Callable[[], None]]:
    """Record the kernels of `work` on the current GPU; each replay draws new random numbers."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    return results, graph.replay
