"""The two Pyro programs of a variational autoencoder, made of its three modules."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_vae.effects import EffectPosteriors, EffectPriors, resolved
from pyro_vae.guides import Posterior
from pyro_vae.labels import LabelPrior, guided_label, modelled_label
from pyro_vae.networks.classifier import Classifier
from pyro_vae.networks.context import ContextFeatures, Resolved, beside
from pyro_vae.spec import Context, joined, random_weights

Observations = Mapping[str, Tensor] | None
Pair = tuple[Tensor, Tensor | None]
Given = Tensor | Resolved | None


@dataclass(frozen=True)
class Split:
    """Where the context of a row is: given by itself, or as the last numbers of a flat row.

    Tools carry a row and its context as one vector, (n, D + C), so that what shuffles, splits,
    stacks or selects rows keeps both together.

    Arguments:
        data_shape: of a row x.
        context: of the model's description; None for a model without.

    Example:
        >>> import torch
        >>> split = Split((2, 2), Context(dim=1))
        >>> x, context = split(torch.arange(5.0).reshape(1, 5))
        >>> x.shape, context
        (torch.Size([1, 2, 2]), tensor([[4.]]))
    """

    data_shape: tuple[int, ...]
    context: Context | None

    def __call__(self, rows: Tensor, context: Any = None, name: str = "model") -> Pair:
        """The rows x, (n, *data_shape), and their contexts, (n, C).

        Raises:
            ValueError: no context where the model has one, one of another shape, or one too many.
        """
        if context is None and self.context is None:
            return rows, None
        if context is not None:
            self.require(context, name)
            if len(context) != len(rows):
                raise ValueError(
                    f"{name}: expected one context for each of {len(rows)} rows, got "
                    f"{len(context)}; pass as many"
                )
            return rows, context
        assert self.context is not None
        size = math.prod(self.data_shape)
        if tuple(rows.shape[1:]) != (size + self.context.size,):
            raise ValueError(
                f"{name}: expected the context of the rows, {self.context.size} numbers each, got "
                f"none; pass it: vae.{name}(x, context)"
            )
        x, given = rows.split([size, self.context.size], -1)
        return x.unflatten(-1, self.data_shape), given

    def different(self, n: int, complete: bool) -> int:
        """How many of n rows differ: `complete` ones stand there once for each label."""
        classes = None if self.context is None else self.context.classes
        return n // classes if complete and classes else n

    def require(self, context: Any, name: str) -> Tensor:
        """Raise ValueError unless this is a tensor of contexts of the model."""
        if self.context is None:
            raise ValueError(
                f"{name}: expected no context, since the model has none, got one; make it with "
                "VAE(..., context={'dim': ...})"
            )
        size = self.context.size
        if not isinstance(context, Tensor) or context.shape[-1:] != (size,):
            got: Any = type(context).__name__
            if isinstance(context, Tensor):
                got = f"shape {tuple(context.shape)}"
            raise ValueError(
                f"{name}: expected contexts as a tensor of shape (n, {size}), got {got}; other "
                "kinds go to pyro_vae.fit, evidence, sample, ..."
            )
        return context


class Model(PyroModule):
    """p(x, z) = p(z) p(x | z): `model(x)` observes the rows x, `model(n=5)` draws 5 rows.

    With a context it is p(x, z | c) = p(z | c) p(x | z, c): `model(x, context)` observes the rows
    x, and `model(context=c)` draws a row for each context. A label y is the last number of a
    context: p(x, y, z | c) = p(y) p(z | c, y) p(x | z, c, y), where it is nan with a site of its
    own. Random effects of a context are sites of their own too, which all rows share.

    Pyro's sleep phases pass `observations={"x": rows}` instead of x.
    """

    def __init__(
        self,
        name: str,
        prior: nn.Module,
        likelihood: nn.Module,
        split: Split,
    ) -> None:
        super().__init__(name)
        self.prior, self.likelihood = prior, likelihood
        self.split = split
        self.features: ContextFeatures | None = None
        if split.context is not None and split.context.decoder:
            self.features = split.context.features()
        self.label: LabelPrior | None = None
        if split.context is not None and split.context.label is not None:
            classes = split.context.classes or 0
            self.label = LabelPrior(classes, split.context.label.prior)
        self.effects: EffectPriors | None = None
        if split.context is not None and split.context.effects:
            self.effects = EffectPriors(split.context.effects)
        joined(self)

    def resolved(self, context: Given, new: Tensor | None = None) -> Resolved | None:
        """The context with the means of random effects; of new levels 0, or `new` times s."""
        return resolved(self.effects, context, new=new)

    def p_z(self, context: Given) -> Any:
        """p(z | c), one for each row where the prior takes the context."""
        chosen = self.split.context
        given = self.resolved(context)
        if chosen is None or not chosen.prior or given is None:
            return self.prior()
        return self.prior(given)

    def p_x(self, z: Tensor, context: Given) -> Any:
        """p(x | z, c), whose decoder takes (z, e(c))."""
        return self.likelihood(self.decoder_inputs(z, context))

    def decoder_inputs(self, z: Tensor, context: Given) -> Tensor:
        """(z, e(c)), or z alone where the decoder takes no context."""
        given = self.resolved(context)
        if self.features is None or given is None:
            return z
        return beside(z, self.features(given))

    def forward(
        self,
        x: Tensor | None = None,
        context: Tensor | None = None,
        n: int = 1,
        observations: Observations = None,
        complete: bool = False,
    ) -> Tensor:
        """`complete`: all labels are known, and p(y) is left to the caller."""
        if observations:
            x = observations["x"]
        if x is not None:
            x, context = self.split(x, context)
            n = len(x)
        elif context is not None or self.split.context is not None:
            n = len(self.split.require(context, "model"))
        draw_weights(self, self.likelihood)
        tables = None
        if self.effects is not None:
            tables = self.effects.sampled(self.split.different(n, complete))
        with pyro.plate("data", n):
            if self.label is not None and context is not None and not complete:
                context = modelled_label(context, self.label())
            given = resolved(self.effects, context, tables)
            z = pyro.sample("z", self.p_z(given))
            rows: Tensor = pyro.sample("x", self.p_x(z, given), obs=x)
            return rows


class Guide(PyroModule):
    """q(z | x): `guide(x)` draws z for the rows x, or for those of `observations={"x": rows}`.

    With a context it is q(z | x, c): `guide(x, context)`; an unknown label of it is drawn from
    q(y | x, c), the `classifier`, and random effects from q(u).
    """

    def __init__(
        self,
        name: str,
        posterior: nn.Module,
        split: Split,
        classifier: Classifier | None = None,
    ) -> None:
        super().__init__(name)
        self.posterior = posterior
        self.classifier = classifier
        self.split = split
        self.effects: EffectPosteriors | None = None
        if split.context is not None and split.context.effects:
            self.effects = EffectPosteriors(split.context.effects)
        joined(self)

    def log_q_y(self, x: Tensor, context: Tensor | Resolved) -> Tensor:
        """log q(y | x, c) of each class, (n, K)."""
        assert self.classifier is not None
        given = resolved(self.effects, context)
        assert given is not None
        logits: Tensor = self.classifier(x, given.without_label())
        return logits.log_softmax(-1)

    def q_z(self, x: Tensor, context: Given) -> Any:
        """q(z | x, c), of x alone where the encoder doesn't take the context."""
        chosen = self.split.context
        given = resolved(self.effects, context)
        if chosen is None or not chosen.encoder or given is None:
            return self.posterior(x)
        if self.effects is None or not isinstance(self.posterior, Posterior):
            return self.posterior(x, given.values)
        return self.posterior(x, given)

    def forward(
        self,
        x: Tensor | None = None,
        context: Tensor | None = None,
        observations: Observations = None,
        complete: bool = False,
    ) -> Tensor:
        rows: Any = x
        if observations:
            rows = observations["x"]
        rows, context = self.split(rows, context, "guide")
        draw_weights(self, self.posterior)
        tables = None
        if self.effects is not None:
            tables = self.effects.sampled(self.split.different(len(rows), complete))
        with pyro.plate("data", len(rows)):
            if self.classifier is not None and context is not None and not complete:
                given = resolved(self.effects, context, tables)
                assert given is not None
                context = guided_label(context, self.log_q_y(rows, given))
            given = resolved(self.effects, context, tables)
            z: Tensor = pyro.sample("z", self.q_z(rows, given))
            return z


def draw_weights(program: PyroModule, part: nn.Module) -> None:
    """Draw weights that were made random (`to_pyro_module_`, `PyroSample`) once for all rows.

    The program keeps what it has drawn until its call is over.
    """
    if isinstance(part, PyroModule):
        for name in random_weights(part):
            attrgetter(name)(part)
