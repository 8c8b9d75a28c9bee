"""The label of a row in the two Pyro programs: observed where it is known, enumerated elsewhere."""

from typing import Any, Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn


class LabelPrior(nn.Module):
    """p(y): log probabilities of the classes, (K,), the same for all, or learned from there.

    Arguments:
        classes: K.
        kind: "uniform" or "learned".

    Example:
        >>> LabelPrior(4, "uniform")().exp()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    def __init__(self, classes: int, kind: Literal["uniform", "learned"]) -> None:
        super().__init__()
        logits = torch.zeros(classes)
        if kind == "learned":
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(self) -> Tensor:
        return self.logits.log_softmax(-1)


def label_of(context: Tensor) -> Tensor:
    """The labels of contexts (..., C): their last numbers, nan where unknown.

    Example:
        >>> label_of(torch.tensor([[0.5, 2.0]]))
        tensor([2.])
    """
    return context[..., -1]


def log_prob_of(label: Tensor, log_p: Tensor) -> Tensor:
    """log p(y) of each label, 0 where it is unknown.

    Example:
        >>> log_prob_of(torch.tensor([1.0, torch.nan]), torch.tensor([-0.1, -2.4]))
        tensor([-2.4000,  0.0000])
    """
    known = ~label.isnan()
    return torch.where(known, log_p[label.nan_to_num().long()], 0.0)


def with_label(context: Tensor, label: Tensor) -> Tensor:
    """Contexts with other labels, whose leading dimensions are broadcast.

    Example:
        >>> with_label(torch.zeros(5, 3), torch.ones(4, 5)).shape
        torch.Size([4, 5, 3])
    """
    others = context[..., :-1]
    lead = torch.broadcast_shapes(others.shape[:-1], label.shape)
    label = label.to(context.dtype).expand(lead).unsqueeze(-1)
    return torch.cat([others.expand(*lead, -1), label], -1)


def modelled_label(context: Tensor, log_p: Tensor) -> Tensor:
    """The contexts with their labels observed at the site "y", and unknown ones drawn there.

    Where some are unknown, those are the site "y_unobserved", which Pyro's `TraceEnum_ELBO` sums
    over.
    """
    label = label_of(context)
    known = ~label.isnan()
    p = dist.Categorical(logits=log_p)
    observed = torch.where(known, label, 0.0).long()
    if known.all():
        pyro.sample("y", p, obs=observed)
        return context
    every: Any = {"enumerate": "parallel"}
    mask: Any = known
    drawn = pyro.sample("y", p, obs=observed, obs_mask=mask, infer=every)
    return with_label(context, drawn)


def guided_label(context: Tensor, logits: Tensor) -> Tensor:
    """The contexts with their unknown labels drawn from q(y | x), at the site "y_unobserved"."""
    label = label_of(context)
    unknown: Any = label.isnan()
    if not unknown.any():
        return context
    every: Any = {"enumerate": "parallel"}
    with pyro.poutine.mask(mask=unknown):
        drawn = pyro.sample(
            "y_unobserved", dist.Categorical(logits=logits), infer=every
        )
    return with_label(context, torch.where(unknown, drawn.to(label.dtype), label))


def with_drawn_labels(context: Tensor, log_p: Tensor) -> Tensor:
    """The contexts with p(y) drawn where the label is unknown."""
    label = label_of(context)
    drawn = dist.Categorical(logits=log_p).sample(label.shape)
    return with_label(context, torch.where(label.isnan(), drawn.to(label), label))


def candidates(context: Tensor, classes: int) -> Tensor:
    """The contexts with each label in turn, (n, K, C).

    Example:
        >>> candidates(torch.zeros(5, 3), 2)[0]
        tensor([[0., 0., 0.],
                [0., 0., 1.]])
    """
    every = torch.arange(classes, device=context.device, dtype=context.dtype)
    return with_label(context.unsqueeze(1), every)
