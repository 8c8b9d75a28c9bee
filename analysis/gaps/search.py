"""The best member of a family for each row, and log p(x) by importance sampling from it."""

import math
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae.analysis.gaps.local_family import Local, Parameters
from pyro_vae.analysis.gaps.normal_families import FullRankNormals

LogJoint = Callable[[Tensor], Tensor]
"""log p(x, z) of draws z (draws, rows, latent_dim): (draws, rows)."""

DRAWS = 8
"""Draws of each row in one step."""
PAIRS = 1000
"""Pairs of a row and a draw that are decoded at once."""


def ascend(
    family: Local,
    log_joint: LogJoint,
    steps: int,
    lr: float,
    stream: int,
) -> tuple[Parameters, Parameters]:
    """Maximise the ELBO of each row over the family by Adam, with a cosine schedule from `lr` to 0.

    Arguments:
        family: the search starts at its `start`.
        log_joint: log p(x, z) of draws.
        steps: the number of steps.
        lr: the length of the first steps, in standard deviations of the guide.
        stream: of the noise.

    Returns:
        The parameters after three quarters of the steps, and at the end.
    """
    parameters = [start.clone().requires_grad_() for start in family.start]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99), eps=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    before = family.start
    noise_of_steps = family.noise(steps * DRAWS, stream).split(DRAWS)
    for step, noise in enumerate(noise_of_steps):
        if step == 3 * steps // 4:
            before = [parameter.detach().clone() for parameter in parameters]
        with torch.enable_grad():
            z, log_q = family.draw(parameters, noise)
            minus_elbo = (log_q - log_joint(z)).sum() / DRAWS
            slopes = torch.autograd.grad(minus_elbo, parameters)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
        schedule.step()
    return before, [parameter.detach() for parameter in parameters]


def log_weights(
    family: Local,
    parameters: Parameters,
    log_joint: LogJoint,
    noise: Tensor,
) -> Tensor:
    """log p(x, z) - log q(z) of draws from members of a family, (draws, rows) in float64."""
    parts = []
    for chunk in _chunks(noise):
        z, log_q = family.draw(parameters, chunk)
        parts.append((log_joint(z) - log_q).double())
    return torch.cat(parts)


def best_full_rank(
    family: Local,
    best: Parameters,
    log_joint: LogJoint,
    steps: int,
    lr: float,
    stream: int,
) -> tuple[FullRankNormals, Parameters]:
    """The best full-rank normal of each row, from the best member of the guide's family on."""
    if isinstance(family, FullRankNormals):
        return family, best
    loc, scale = family.moments(best)
    start = dist.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))
    full_rank = FullRankNormals(start, family.rows)
    _, best_normal = ascend(full_rank, log_joint, steps, lr, stream)
    return full_rank, best_normal


def mixture_log_weights(
    family: Local,
    full_rank: FullRankNormals,
    best: Parameters,
    log_joint: LogJoint,
    draws: int,
    stream: int,
) -> Tensor:
    """log p(x, z) - log m(z) for the mixture m = (q + r) / 2 of the guide q and a normal r.

    The first half is drawn from q and the second from r, which is the best full-rank normal with
    its variances times 1 + 1/√d: where the posterior is normal, a share of at least e^(-1/2) of the
    draws from r is effective, in any dimension d.

    Returns:
        (2, draws, rows), in float64.
    """
    normal: Any = full_rank.at(best)
    width = math.sqrt(1 + 1 / math.sqrt(normal.event_shape[0]))
    wide = dist.MultivariateNormal(normal.mean, scale_tril=width * normal.scale_tril)
    proposal = FullRankNormals(wide, full_rank.rows)

    def half(own: Local, other: Local, stream: int) -> Tensor:
        parts = []
        for chunk in _chunks(own.noise(draws, stream)):
            z, log_own = own.draw(own.start, chunk)
            log_sum = torch.logaddexp(log_own, other.log_prob(other.start, z))
            parts.append((log_joint(z) - log_sum + math.log(2)).double())
        return torch.cat(parts)

    return torch.stack(
        [half(family, proposal, stream), half(proposal, family, stream + 1)]
    )


def _chunks(noise: Tensor) -> tuple[Tensor, ...]:
    return noise.split(max(1, PAIRS // noise.shape[1]))
