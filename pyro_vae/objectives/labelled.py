"""The objective of a model whose label is unknown of some rows."""

import math
from dataclasses import dataclass
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn

from pyro_vae.distributed.collectives import batch_mean
from pyro_vae.labels import candidates, label_of
from pyro_vae.model_and_guide import Guide, Model
from pyro_vae.networks.context import repeated_rows
from pyro_vae.objectives.base import Objective, Program, Terms

START = 0.05
"""Of the radius: how far the row moves to find the direction that changes q(y | x) most."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A bound of log p(x, y) for rows whose label y is known, and of log p(x) for the others.

    With L(x, y) a bound of log p(x | y), such as the ELBO, the loss of a row is, in nats,

        y known:    -log p(y) - L(x, y)  +  α C(x, y) + α V(x)
        y unknown:  Σ_y q(y | x) (log q(y | x) - log p(y) - L(x, y))  +  α V(x)

    where the sum over y is exact. C is -log q(y | x) divided by the share of known labels in the
    batch: its mean over the rows is the mean over those with a label. V asks that q(y | x) doesn't
    change close to x: it is KL(q(y | x) ‖ q(y | x + r)) for the r of length ε √D that changes it
    most, found by one step of the power method, in standardised units, and only while training.

    References:
        Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed, Welling,
        2014).
        Virtual Adversarial Training (Miyato, Maeda, Koyama, Ishii, 2018), for V.

    Arguments:
        inner: the objective of a row with a label.
        weight: α.
        consistency: ε; 0 leaves V out.
    """

    inner: Objective
    weight: float
    consistency: float

    def __call__(
        self, model: Program, guide: Program, x: Tensor, beta: float = 1.0
    ) -> Terms:
        assert isinstance(model, Model)
        assert isinstance(guide, Guide)
        rows, context = model.split(x)
        assert context is not None
        assert model.label is not None
        log_q = guide.log_q_y(rows, context)
        log_p = model.label()
        terms = self._of_each(model, guide, rows, context, log_q.shape[1], beta)

        label = label_of(context)
        known = ~label.isnan()
        classes = torch.arange(log_q.shape[1], device=x.device)
        is_label = label.unsqueeze(-1) == classes
        share = torch.where(known.unsqueeze(-1), is_label.to(log_q.dtype), log_q.exp())
        cross = -(share * log_p).sum(-1)
        divergence = torch.where(known, 0.0, (share * (log_q - log_p)).sum(-1))
        rate = (share * terms.rate).sum(-1) + divergence
        distortion = (share * terms.distortion).sum(-1) + torch.where(known, cross, 0.0)
        loss = (share * terms.loss).sum(-1)
        loss = loss + torch.where(known, cross, beta * divergence)
        wrong = torch.where(known, -(share * log_q).sum(-1), 0.0)
        labelled = batch_mean(known.to(loss.dtype).mean())
        none = torch.finfo(loss.dtype).eps  # nothing is wrong then
        loss = loss + self.weight * wrong / labelled.clamp_min(none)
        if self.consistency and self.weight and guide.training:
            change = self._change(guide, rows, context, log_q)
            loss = loss + self.weight * change
        return Terms(rate, distortion, terms.kl, loss)

    def _of_each(
        self,
        model: Model,
        guide: Guide,
        rows: Tensor,
        context: Tensor,
        classes: int,
        beta: float,
    ) -> Terms:
        """The terms of the rows with each label, (n, K)."""
        given = candidates(context, classes)
        x = rows.flatten(1).unsqueeze(1).expand(-1, classes, -1)
        whole = torch.cat([x, given], -1).flatten(0, 1)
        with repeated_rows(classes):
            terms = self.inner(_complete(model), _complete(guide), whole, beta)
        shape = (len(rows), classes)
        rate, distortion = terms.rate.view(shape), terms.distortion.view(shape)
        return Terms(rate, distortion, terms.kl, terms.loss.view(shape))

    def _change(
        self, guide: Guide, rows: Tensor, context: Tensor, log_q: Tensor
    ) -> Tensor:
        """V(x), how much q(y | x) changes in the worst direction."""
        assert guide.classifier is not None
        unit = guide.classifier.standardize.std
        radius = self.consistency * math.sqrt(unit.numel())
        target = log_q.detach()

        def change(move: Tensor) -> Tensor:
            moved = guide.log_q_y(rows + unit * move, context)
            return (target.exp() * (target - moved)).sum(-1)

        start = START * radius * _direction(torch.randn_like(rows))
        with torch.enable_grad():
            start.requires_grad_()
            (slope,) = torch.autograd.grad(change(start).sum(), start)
        return change(radius * _direction(slope))


def _complete(program: Model | Guide) -> Program:
    """The program for rows whose labels are all known, without p(y)."""
    return partial(MethodType(nn.Module.__call__, program), complete=True)


def _direction(moves: Tensor) -> Tensor:
    """Each row as a vector of length 1."""
    length = moves.flatten(1).norm(dim=1)
    return moves / length.clamp_min(1e-12).view(-1, *(1,) * (moves.ndim - 1))
