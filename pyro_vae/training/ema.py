"""Exponential moving averages of the weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ExponentialMovingAverage:
    """The average of each weight over the steps: average ← decay · average + (1 - decay) · weight.

    Arguments:
        parameters: those of the model.
        decay: weight of the past; the average is over about 1 / (1 - decay) steps.
    """

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.values: list[Tensor] = [p.detach().clone() for p in parameters]
        self._update: Callable[..., None] = get_ema_multi_avg_fn(decay)

    def update(self) -> None:
        """Take in the weights after a step."""
        self._update(self.values, [p.detach() for p in self.parameters], None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averages inside the block, and its own weights again after it."""
        own = [p.data for p in self.parameters]
        self._assign(self.values)
        try:
            yield
        finally:
            self._assign(own)

    def _assign(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.data = value
