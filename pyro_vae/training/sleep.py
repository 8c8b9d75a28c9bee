"""The sleep phase: the guide alone learns from rows that the model draws."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from pyro_vae.data import Rows, binarized
from pyro_vae.inputs import missing_module
from pyro_vae.networks import evaluating
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.rng import own_seed
from pyro_vae.training.epoch import not_finite, validate
from pyro_vae.training.options import SCHEDULES, FitOptions, make_optimizer
from pyro_vae.training.run import Run
from pyro_vae.training.train_step import State, step
from pyro_vae.training.training_data import TrainingData
from pyro_vae.vae import VAE


def sleep(run: Run, state: State, data: TrainingData) -> None:
    """Refit the guide of a trained model on rows x' ~ p(x' | z), z ~ q(z | x), with p fixed.

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

    Arguments:
        run: the run; its rows of the sleep phase and its best weights change.
        state: the state after the last step.
        data: x, and the validation rows.
    """
    options = run.options
    vae = run.vae
    parameters = own_parameters(vae)
    half_rate = options.model_copy(update={"lr": options.lr / 2})
    optimizer = make_optimizer(half_rate, parameters)
    state = replace(state, optimizer=optimizer, ema=None, binarize=False)
    epochs = math.ceil(options.sleep_share * len(run.history))
    # Other noise than in training (seed) and in validation (seed + 1).
    order = torch.Generator().manual_seed(options.seed + 2)
    noise = own_seed(options.seed + 2, next(vae.parameters()).device)
    with _frozen_model(vae), evaluating(vae), noise, unvalidated():
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            state, loss = _epoch(state, data.train, epoch, epochs, options, order)
            run.skipped = state.skipped
            row = {"epoch": epoch, "loss": loss, **validate(state, data, options)}
            run.keep_asleep(row | {"seconds": time.perf_counter() - start})


@contextmanager
def _frozen_model(vae: VAE) -> Iterator[None]:
    """Inside the block only the weights of the guide have gradients."""
    own = {id(parameter) for parameter in own_parameters(vae)}
    others = [parameter for parameter in vae.parameters() if id(parameter) not in own]
    flags = [parameter.requires_grad for parameter in others]
    try:
        for parameter in others:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in zip(others, flags, strict=True):
            parameter.requires_grad_(flag)


def _epoch(
    state: State,
    train: Rows,
    epoch: int,
    epochs: int,
    options: FitOptions,
    order: torch.Generator,
) -> tuple[State, float]:
    """A step for each batch of drawn rows, as many as there are training rows; the mean loss."""
    count = train.steps(options.batch_size)
    losses = []
    for number, batch in enumerate(drawn(state.vae, train, options, order)):
        done = (epoch - 1) / epochs + 1 / epochs * number / count
        for group in state.optimizer.param_groups:
            group["lr"] = options.lr / 2 * SCHEDULES["cosine"](done)
        state, info = step(state, batch)
        losses.append(info.loss)
    each = torch.stack(losses)
    if state.on_nonfinite == "skip":
        each = each[each.isfinite()]
    if not len(each):
        raise not_finite("every batch", f"{epoch} of the sleep phase", options)
    return state, float(each.mean())


def drawn(
    vae: VAE,
    train: Rows,
    options: FitOptions,
    order: torch.Generator,
) -> Iterator[Tensor]:
    """Batches x' ~ p(x' | z), z ~ q(z | x), of the same sizes as those of x."""
    for batch in train.batches(options.batch_size, order):
        with torch.no_grad():
            rows = binarized(batch) if options.binarize == "dynamic" else batch
            z = vae.posterior(rows).sample()
            draws = vae.likelihood(z).sample().to(batch.dtype)
            missing = missing_module(vae)
            if missing is not None:  # the guide learns from rows that lack as much
                draws = missing.lacking(draws, batch)
        yield draws


def own_parameters(vae: VAE) -> list[nn.Parameter]:
    """The weights of the guide that the model doesn't share."""
    shared = {id(weight) for weight in vae.model.parameters()}
    return [weight for weight in vae.guide.parameters() if id(weight) not in shared]


def require_sleep(vae: VAE) -> None:
    """Raise ValueError where the model would change with the guide."""
    parameters = own_parameters(vae)
    with evaluating(vae):
        z = next(vae.parameters()).new_zeros(vae.spec.latent_dim)
        log_p = vae.prior().log_prob(z).sum()
    gradients: Sequence[Tensor | None] = ()
    if log_p.requires_grad:
        gradients = torch.autograd.grad(log_p, parameters, allow_unused=True)
    if not parameters or any(gradient is not None for gradient in gradients):
        raise ValueError(
            "sleep_share: expected a guide with weights of its own, of which the prior is not "
            f"made, got prior {vae.spec.prior.kind!r} and guide {vae.spec.guide.kind!r}; leave "
            "sleep_share out"
        )
