"""A function of tensors on a GPU, recorded once and replayed: its kernels start without a word from
the processor.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Run = Callable[..., tuple[Tensor, ...]]
Work = Callable[[], Sequence[Tensor]]
Record = Callable[[Work], tuple[Sequence[Tensor], Callable[[], None]]]


class Replay:
    """`run(*held, *given)` as a CUDA graph, which is recorded at the first call.

    The held tensors are read and changed where they are. The given ones are copied to where the
    recording reads them, and results are copies too. A call whose held tensors lie elsewhere runs
    as before, without the recording.

    Arguments:
        run: has run before, so that its kernels are loaded; the recording runs nothing.
        changing: how many of its last arguments are given anew at each call.
        record: records work that runs nothing meanwhile; gives where its results will lie, and what
            replays it.

    Example:
        >>> def later(work):  # stands in for a GPU
        ...     results = []
        ...     return results, lambda: results.__setitem__(slice(None), work())
        >>> double = Replay(lambda weight, x: (2 * weight * x,), changing=1, record=later)
        >>> weight = torch.ones(2)
        >>> double(weight, torch.tensor([1.0, 2.0])), double(weight.mul_(3), torch.tensor([1.0, 2.0]))
        ((tensor([2., 4.]),), (tensor([ 6., 12.]),))
    """

    def __init__(self, run: Run, changing: int, record: Record | None = None) -> None:
        self.run, self.changing, self.record = run, changing, record or recorded
        self.recording: _Recording | None = None

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        held, given = tensors[: -self.changing], tensors[-self.changing :]
        if self.recording is None:
            self.recording = self._recorded(held, given)
        if self.recording.places != _places(held):
            return self.run(*tensors)
        for place, new in zip(self.recording.given, given, strict=True):
            place.copy_(new)
        self.recording.replay()
        return tuple(result.clone() for result in self.recording.results)

    def _recorded(self, held: Sequence[Tensor], given: Sequence[Tensor]) -> "_Recording":
        copies = [tensor.clone() for tensor in given]
        try:
            results, replay = self.record(lambda: self.run(*held, *copies))
        except RuntimeError as error:
            warnings.warn(
                f"fit: the compiled step can't be recorded and is called each time: {error}",
                stacklevel=2,
            )
            return _Recording([], [], (), lambda: None)
        return _Recording(_places(held), copies, results, replay)


class _Recording(NamedTuple):
    """Addresses of what is held, where the rest is read, where the results lie, and what replays
    it.
    """

    places: list[int]
    given: list[Tensor]
    results: Sequence[Tensor]
    replay: Callable[[], None]


def _places(tensors: Sequence[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def recorded(work: Work) -> tuple[Sequence[Tensor], Callable[[], None]]:
    """Record the kernels of `work` on the current GPU; torch's random numbers go on at each replay."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    return results, graph.replay
