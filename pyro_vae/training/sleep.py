"""The sleep phase: the guide alone learns from rows that the model draws, of which there is no end."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import pyro
import torch
from torch import Tensor, nn

from pyro_vae.data import Rows, binarized
from pyro_vae.networks import evaluating
from pyro_vae.rng import own_seed
from pyro_vae.training.epoch import validate
from pyro_vae.training.options import SCHEDULES, FitOptions, make_optimizer
from pyro_vae.training.run import Run
from pyro_vae.training.train_step import State, step
from pyro_vae.training.weights import RowWeights
from pyro_vae.vae import VAE


def sleep(
    run: Run, state: State, train: Rows, valid: Rows | None, weights: RowWeights | None = None
) -> None:
    """Refit the guide of a trained model on x' ~ p(x' | z), z ~ q(z | x), for the training rows x;
    p stays as it is.

    An encoder overfits the rows that it has seen, and its q(z | x) for others is too narrow or
    misplaced, which costs ELBO and not log p(x). Drawn rows are new in each step. The weights that
    do best on the validation rows are kept, those from before among them. Modules are in evaluation
    mode, since rows that are always new need no noise and no dropout. The learning rate falls from
    half of `lr` along a cosine. Steps are eager, rows count alike, and the optimizer is one of its
    own. Of several processes each makes all of the steps, with the same numbers.

    References:
        The "wake-sleep" algorithm for unsupervised neural networks (Hinton, Dayan, Frey, Neal,
        1995), whose sleep phase learns from such draws, by another divergence.
        Inference Suboptimality in Variational Autoencoders (Cremer, Li, Duvenaud, 2018), on
        encoders that overfit.

    Raises:
        ValueError: a prior that is made of the guide (a VampPrior), which would change with it.
    """
    options, vae = run.options, run.vae
    epochs = math.ceil(options.sleep_share * len(run.history))
    parameters = own_parameters(vae)
    optimizer = make_optimizer(options.model_copy(update={"lr": options.lr / 2}), parameters)
    state = replace(state, optimizer=optimizer, average=None, binarize=False)
    awake = [
        parameter
        for parameter in vae.parameters()
        if all(parameter is not own for own in parameters)
    ]
    flags = [parameter.requires_grad for parameter in awake]
    order = torch.Generator().manual_seed(options.seed + 2)
    try:
        for parameter in awake:
            parameter.requires_grad_(False)
        with (
            evaluating(vae),
            own_seed(options.seed + 2, next(vae.parameters()).device),
            pyro.validation_enabled(False),
        ):
            for epoch in range(1, epochs + 1):
                began = time.perf_counter()
                row = {
                    "epoch": epoch,
                    **_epoch(state, train, (epoch - 1) / epochs, 1 / epochs, options, order),
                }
                row |= validate(state, valid, options, weights) if valid is not None else {}
                run.keep_asleep(row | {"seconds": time.perf_counter() - began})
    finally:
        for parameter, flag in zip(awake, flags, strict=True):
            parameter.requires_grad_(flag)


def _epoch(
    state: State,
    train: Rows,
    done: float,
    share: float,
    options: FitOptions,
    order: torch.Generator,
) -> dict[str, float]:
    """A pass over drawn rows, one for each training row, where a share `done` of the phase is over."""
    count, losses = train.steps(options.batch_size), []
    for number, batch in enumerate(drawn(state.vae, train, options, order)):
        factor = SCHEDULES["cosine"](done + share * number / count)
        for group in state.optimizer.param_groups:
            group["lr"] = options.lr / 2 * factor
        state, info = step(state, batch)
        losses.append(info.loss)
    return {"loss": float(torch.stack(losses).mean())}


def drawn(vae: VAE, train: Rows, options: FitOptions, order: torch.Generator) -> Iterator[Tensor]:
    """Batches x' ~ p(x' | z), z ~ q(z | x), of the same sizes as those of x."""
    for batch in train.batches(options.batch_size, order):
        with torch.no_grad():
            rows = binarized(batch) if options.binarize == "dynamic" else batch
            rows = vae.likelihood(vae.posterior(rows).sample()).sample().to(batch.dtype)
        yield rows


def own_parameters(vae: VAE) -> list[nn.Parameter]:
    """The weights of the guide that the model doesn't share."""
    shared = {id(parameter) for parameter in vae.model.parameters()}
    return [parameter for parameter in vae.guide.parameters() if id(parameter) not in shared]


def require_sleep(vae: VAE) -> None:
    """Raise ValueError where the model would change with the guide."""
    parameters = own_parameters(vae)
    with evaluating(vae):
        log_p = vae.prior().log_prob(next(vae.parameters()).new_zeros(vae.spec.latent_dim))
    slopes = (
        torch.autograd.grad(log_p.sum(), parameters, allow_unused=True)
        if log_p.requires_grad
        else ()
    )
    if not parameters or any(slope is not None for slope in slopes):
        raise ValueError(
            "sleep_share: expected a guide with weights of its own, of which the prior is not "
            f"made, got prior {vae.spec.prior.kind!r} and guide {vae.spec.guide.kind!r}; leave "
            "sleep_share out"
        )
