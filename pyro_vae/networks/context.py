"""What is given with a row, its context c, as inputs e(c) of networks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_repeats: ContextVar[int] = ContextVar("repeats", default=1)


@contextmanager
def repeated_rows(count: int) -> Iterator[None]:
    """Inside the block each row stands `count` times in a row, with a context of its own each time.

    Encoders multiply it once with their first layer then.

    Example:
        >>> encoder = EncoderWithContext(nn.Linear(5, 8), ContextFeatures([None]), at_inputs=True)
        >>> x, context = torch.ones(6, 4), torch.arange(6.0).unsqueeze(-1)
        >>> with repeated_rows(3):
        ...     shared = encoder(x, context)
        >>> bool(torch.allclose(shared, encoder(x, context), atol=1e-6))
        True
    """
    token = _repeats.set(count)
    try:
        yield
    finally:
        _repeats.reset(token)


@dataclass(frozen=True)
class Resolved:
    """Contexts with the vectors of random effects in the place of their levels, (..., C')."""

    values: Tensor

    def without_label(self) -> "Resolved":
        """All but the last number, the label."""
        return Resolved(self.values[..., :-1])


class ContextFeatures(nn.Module):
    """e(c): numbers in units of their spread, and levels as one-hot or learned vectors.

    e(c) = (..., (cᵢ - meanᵢ) / stdᵢ, ..., one-hot(cⱼ) or Eⱼ[cⱼ], ...)

    mean and std are those of the training rows; before the first `fit` numbers stay as they are.

    Arguments:
        levels: for each number of c how many levels it has, of which it is the position; None for
            a number.
        embedding: length of the learned vector of a level; None: one-hot.

    Attributes:
        has_effects: whether some numbers are those of random effects, so that contexts with levels
            in their place are refused.

    Example:
        >>> features = ContextFeatures([None, 3])
        >>> features(torch.tensor([[0.5, 2.0]]))
        tensor([[0.5000, 0.0000, 0.0000, 1.0000]])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, levels: Sequence[int | None], embedding: int | None = None
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.width = features_width(self.levels, embedding)
        self.has_effects = False
        self.register_buffer("mean", torch.zeros(len(self.levels)))
        self.register_buffer("std", torch.ones(len(self.levels)))
        self.embeddings = nn.ParameterDict()
        if embedding is not None:
            for position, count in enumerate(self.levels):
                if count is not None:
                    vectors = torch.randn(count, embedding)
                    self.embeddings[str(position)] = nn.Parameter(vectors)

    def start(self, mean: Tensor, std: Tensor) -> None:
        """Take the moments of the training rows; what never varies keeps its unit.

        Arguments:
            mean, std: of each number of c, (C,); those of levels are not used.
        """
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, context: Tensor | Resolved) -> Tensor:
        if isinstance(context, Resolved):
            context = context.values
        elif self.has_effects:
            raise ValueError(
                "context: expected the vectors of random effects, got contexts with their levels; "
                "take vae.given(context), which has prior(), likelihood(z) and posterior(x)"
            )
        standard = (context - self.mean) / self.std
        parts = []
        for position, count in enumerate(self.levels):
            if count is None:
                parts.append(standard[..., position : position + 1])
            else:
                parts.append(self._of_level(position, count, context[..., position]))
        return torch.cat(parts, -1)

    def _of_level(self, position: int, count: int, level: Tensor) -> Tensor:
        """The vector of a level, (..., width)."""
        every = torch.arange(count, device=level.device)
        level = level.unsqueeze(-1)
        one_hot = (level == every).to(self.mean.dtype)
        one_hot = (
            one_hot + 0.0 * level
        )  # nan for an unknown label, and not no label at all
        if str(position) not in self.embeddings:
            return one_hot
        vectors: Tensor = one_hot @ self.embeddings[str(position)]
        return vectors

    def extra_repr(self) -> str:
        return f"{len(self.levels)} -> {self.width}"


def features_width(levels: Sequence[int | None], embedding: int | None) -> int:
    """How many numbers e(c) has.

    Example:
        >>> features_width([None, 3], None), features_width([None, 3], 2)
        (4, 3)
    """
    vectors = [count for count in levels if count is not None]
    widths = vectors if embedding is None else [embedding] * len(vectors)
    return len(levels) - len(vectors) + sum(widths)


def beside(inputs: Tensor, features: Tensor) -> Tensor:
    """(inputs, e(c)) as one vector; leading dimensions are broadcast.

    Example:
        >>> beside(torch.zeros(5, 3, 2), torch.ones(3, 4)).shape
        torch.Size([5, 3, 6])
    """
    lead = torch.broadcast_shapes(inputs.shape[:-1], features.shape[:-1])
    return torch.cat([inputs.expand(*lead, -1), features.expand(*lead, -1)], -1)


class InEveryLayer(nn.Module):
    """A perceptron whose linear layers all see e(c), the last numbers of the input.

    hₗ = Wₗ a(hₗ₋₁) + bₗ + Vₗ e(c), where V starts at 0; the first layer has e(c) in its input.

    Arguments:
        layers: the perceptron, whose first layer takes all of the input.
        width: numbers of e(c).

    Example:
        >>> layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> InEveryLayer(layers, width=3)(torch.zeros(4, 5)).shape
        torch.Size([4, 1])
    """

    def __init__(self, layers: nn.Sequential, width: int) -> None:
        super().__init__()
        self.layers = layers
        self.width = width
        self.effects = nn.ModuleDict()
        linear = [
            (position, layer)
            for position, layer in enumerate(layers)
            if isinstance(layer, nn.Linear)
        ]
        for position, layer in linear[1:]:
            effect = nn.Linear(width, layer.out_features, bias=False)
            nn.init.zeros_(effect.weight)
            self.effects[str(position)] = effect

    def forward(self, inputs: Tensor) -> Tensor:
        return self.from_layer(0, inputs, inputs[..., -self.width :])

    def from_layer(self, first: int, hidden: Tensor, features: Tensor) -> Tensor:
        """What the layers from that position on make of the hidden units before it and e(c)."""
        for position, layer in [*enumerate(self.layers)][first:]:
            hidden = layer(hidden)
            if str(position) in self.effects:
                hidden = hidden + self.effects[str(position)](features)
        return hidden


class EncoderWithContext(nn.Module):
    """An encoder of rows and their contexts: network(x, e(c)), or (network(x), e(c)).

    Arguments:
        network: from rows to features, or from (x, e(c)) to features.
        features: e(c).
        at_inputs: whether the network takes e(c); else it stands beside what the network gives.

    Example:
        >>> encoder = EncoderWithContext(nn.Linear(5, 8), ContextFeatures([None]), at_inputs=True)
        >>> encoder(torch.zeros(3, 4), torch.zeros(3, 1)).shape
        torch.Size([3, 8])
    """

    def __init__(
        self, network: nn.Module, features: ContextFeatures, *, at_inputs: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.features = features
        self.at_inputs = at_inputs

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        if context is None:
            raise ValueError(
                "posterior: expected rows and their context, q(z | x, c), got rows alone; take "
                "vae.posterior(x, context)"
            )
        given = self.features(context)
        if not self.at_inputs:
            return beside(self.network(x), given)
        if _repeats.get() > 1:
            return self._of_repeated(x.flatten(1), given)
        encoded: Tensor = self.network(beside(x.flatten(1), given))
        return encoded

    def _of_repeated(self, x: Tensor, given: Tensor) -> Tensor:
        """The same for rows that stand several times: W (x, e) = W₁ x + W₂ e, with W₁ x once."""
        network = self.network
        inner = network.layers if isinstance(network, InEveryLayer) else network
        layers = list(inner) if type(inner) is nn.Sequential else [inner]
        at = _after_flatten(layers)
        first = layers[at] if at < len(layers) else None
        if not isinstance(first, nn.Linear):
            whole: Tensor = network(beside(x, given))
            return whole
        first = layers[at]
        assert isinstance(first, nn.Linear)
        count = _repeats.get()
        of_x, of_given = first.weight.split([x.shape[1], given.shape[1]], 1)
        hidden = functional.linear(x[::count], of_x, first.bias)
        hidden = hidden.repeat_interleave(count, 0) + functional.linear(given, of_given)
        if isinstance(network, InEveryLayer):
            return network.from_layer(at + 1, hidden, given)
        for layer in layers[at + 1 :]:
            hidden = layer(hidden)
        return hidden


def _after_flatten(layers: Sequence[nn.Module]) -> int:
    """The position of the first layer that changes a vector."""
    flat = [isinstance(layer, nn.Flatten) for layer in layers]
    return flat.index(False) if False in flat else len(flat)
