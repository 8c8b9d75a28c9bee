"""The best member of a family for each row, and log p(x) by importance sampling from it."""

import math
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae.analysis.gaps.families import FullRankNormals, Local, Parameters

LogJoint = Callable[[Tensor], Tensor]
"""log p(x, z) of draws z (draws, rows, latent_dim): (draws, rows)."""

DRAWS = 8
"""Draws of each row in one step."""
PAIRS = 1000
"""Pairs of a row and a draw that are decoded at once."""


def ascend(
    family: Local, log_joint: LogJoint, steps: int, lr: float, stream: int
) -> tuple[Parameters, Parameters]:
    """Climb the ELBO of each row over the family by Adam, whose step falls from `lr` to zero along
    a cosine.

    Arguments:
        family: where to climb, from its `start`.
        log_joint: log p(x, z) of draws.
        steps: how many.
        lr: length of the first, in the guide's standard deviations.
        stream: of the noise.

    Returns:
        The parameters after three quarters of the steps, and at the end.
    """
    parameters = [start.clone().requires_grad_() for start in family.start]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99), eps=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    before = family.start
    for step, noise in enumerate(family.noise(steps * DRAWS, stream).split(DRAWS)):
        if step == 3 * steps // 4:
            before = [parameter.detach().clone() for parameter in parameters]
        with torch.enable_grad():
            z, log_q = family.draw(parameters, noise)
            slopes = torch.autograd.grad((log_q - log_joint(z)).sum() / DRAWS, parameters)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
        schedule.step()
    return before, [parameter.detach() for parameter in parameters]


def log_weights(
    family: Local, parameters: Parameters, log_joint: LogJoint, noise: Tensor
) -> Tensor:
    """log p(x, z) - log q(z) of draws from members of a family, (draws, rows) in float64."""
    drawn = (family.draw(parameters, some) for some in _chunks(noise))
    return torch.cat([(log_joint(z) - log_q).double() for z, log_q in drawn])


def best_full_rank(
    family: Local, best: Parameters, log_joint: LogJoint, steps: int, lr: float, stream: int
) -> tuple[FullRankNormals, Parameters]:
    """The best normal with a full covariance for each row, sought from the best member of the
    guide's family.
    """
    if isinstance(family, FullRankNormals):
        return family, best
    loc, scale = family.moments(best)
    start = dist.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))
    full_rank = FullRankNormals(start, family.rows)
    return full_rank, ascend(full_rank, log_joint, steps, lr, stream)[1]


def mixture_log_weights(
    family: Local,
    full_rank: FullRankNormals,
    best: Parameters,
    log_joint: LogJoint,
    draws: int,
    stream: int,
) -> Tensor:
    """log p(x, z) - log m(z) for m = (q + r) / 2, of the guide q and a full-rank normal r, (2,
    draws, rows) in float64.

    The first half is drawn from q and the second from r, which is the best full-rank normal with
    its variances times 1 + 1/√d: in any dimension d, at least a share of e^(-1/2) of such draws is
    effective where the posterior is normal.
    """
    normal: Any = full_rank.at(best)
    width = math.sqrt(1 + 1 / math.sqrt(normal.event_shape[0]))
    wide = dist.MultivariateNormal(normal.mean, scale_tril=width * normal.scale_tril)
    proposal = FullRankNormals(wide, full_rank.rows)

    def half(own: Local, other: Local, stream: int) -> Tensor:
        drawn = (own.draw(own.start, some) for some in _chunks(own.noise(draws, stream)))
        scored = (
            (log_joint(z), torch.logaddexp(log_own, other.log_prob(other.start, z)))
            for z, log_own in drawn
        )
        return torch.cat([(log_p - log_both + math.log(2)).double() for log_p, log_both in scored])

    return torch.stack([half(family, proposal, stream), half(proposal, family, stream + 1)])


def _chunks(noise: Tensor) -> tuple[Tensor, ...]:
    return noise.split(max(1, PAIRS // noise.shape[1]))
