"""The loop: `fit` trains a model on rows of any origin and keeps the best weights."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch

from pyro_vae.arguments import public, warn_caller
from pyro_vae.data import Placement
from pyro_vae.data.row_labels import row_labels
from pyro_vae.distributed.collectives import (
    broadcast_parameters,
    interrupted_together,
)
from pyro_vae.distributed.process_group import device_of_rank, is_first, watched
from pyro_vae.distributed.watch import PATIENCE
from pyro_vae.networks import MatmulPrecision, Precision
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.objectives import KL, Objective
from pyro_vae.rng import own_seed
from pyro_vae.termination import deferred
from pyro_vae.training.callbacks import Callback, require_callables
from pyro_vae.training.checkpoint import Checkpoint
from pyro_vae.training.data_parallel import own_noise
from pyro_vae.training.epoch import Training
from pyro_vae.training.epochs import make_epochs, refit_guide
from pyro_vae.training.examination import examine
from pyro_vae.training.options import (
    SCHEDULES,
    MakeOptimizer,
    Schedule,
    choose_device,
    with_budget,
)
from pyro_vae.training.preparation import (
    check_and_initialise,
    default_objective,
    described_options,
    initial_state,
    read_data,
    with_binary_validation,
)
from pyro_vae.training.progress import Progress
from pyro_vae.training.row_digest import digests_of, texts_of
from pyro_vae.training.run import Run
from pyro_vae.training.sanity_check import require_trainable
from pyro_vae.training.step_choice import choose_steps, with_guard
from pyro_vae.training.symptoms import symptoms
from pyro_vae.training.weights import refuse_hidden_weights, with_eager_steps
from pyro_vae.vae import VAE

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@public
def fit(
    vae: VAE,
    x: Any,
    *,
    validation: Any = 0.1,
    weights: Any = None,
    context: Any = None,
    epochs: int | None = None,
    min_steps: int = 4000,
    batch_size: int = 128,
    optimizer: str | MakeOptimizer = "adam",
    lr: float = 2e-3,
    optimizer_options: Mapping[str, Any] = NO_OPTIONS,
    schedule: Literal["constant", "cosine"] | Schedule = "cosine",
    clip_norm: float | None = None,
    objective: str | Mapping[str, Any] | Objective | None = None,
    kl: KL = "auto",
    num_particles: int = 1,
    beta: float = 1.0,
    kl_warmup_epochs: int = 0,
    kl_cycles: int = 1,
    ema_decay: float | None = None,
    patience: int | None = None,
    on_nonfinite: Literal["stop", "skip"] = "stop",
    sleep_share: float = 0.0,
    binarize: Literal["none", "dynamic"] = "none",
    seed: int = 0,
    device: str = "auto",
    compile: Literal["auto", "step", "loss", "replay", "off"] = "auto",
    precision: Precision = "full",
    matmul_precision: MatmulPrecision = "highest",
    checkpoint: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    timeout: float = PATIENCE,
    progress: bool | None = None,
) -> Run:
    """Train `vae` by stochastic variational inference, and keep the best weights.

    The loss is the mean over rows of -ELBO = distortion + rate, in nats:

        loss(x) = -E_q(z|x)[log p(x | z)] + KL(q(z | x) ‖ p(z))

    Before the first step the rows are checked, the encoder's inputs standardised and the output
    biases set to the data's means; a model that was trained before is trained on. One seed gives
    one result, and torch's global generators are left as they were. An interrupt (Ctrl-C) ends the
    run with the best weights in place.

    Without `epochs` the run makes 100 passes over the rows, and for small data as many more as make
    `min_steps` steps; it ends early where half of them brought no better epoch. The weights of the
    epoch with the lowest validation loss are kept. `run.summary()` says when that was the last one,
    so that a longer run may be better, and compares the ELBO with that of independent columns,
    `run.baseline`; a model that stays below it is warned about.

    In several processes (`pyro_vae.distributed.process_group.joined`) all call it with the same
    arguments and end with the same weights; `batch_size` counts the rows of all.

    Hooks (`register_forward_hook` and the like) on `vae.model`, `vae.guide` and their parts are
    called as torch promises where steps are eager, and compile="auto" stays eager where there are
    some. A compiled or recorded step calls them only while it is made, and `fit` warns once.

    Arguments:
        vae: the model; trained in place.
        x: rows shaped (n, *data_shape): array, tensor, memmap, Dataset or DataLoader; a SciPy or
            torch sparse matrix, of which batches alone are dense; an AnnData object, whose X is
            taken.
        validation: share (below 1) or number of rows of `x` that choose the best epoch; or such
            rows themselves; or None.
        weights: how much each row of `x` counts in the loss, (n,), such as importance or survey
            weights; only their ratios matter. None: all the same. They don't count where the model
            is initialised.
        context: of a model that has one, what is given with each row of `x`: an array (n, C), or a
            DataFrame; None finds its columns in the table `x`, or takes them from a Dataset or
            DataLoader of pairs (x, context). `validation` may be a pair of rows and contexts.
        epochs: passes over the training rows.
        min_steps: smallest number of steps, where `epochs` is not given.
        batch_size: rows in a step.
        optimizer: a name in torch.optim, or a function from parameters to an optimizer.
        lr: learning rate at the start.
        optimizer_options: further options of the named optimizer.
        schedule: "constant", "cosine", or a function from the share of the run done to a factor of
            the learning rate.
        clip_norm: largest norm of the gradient.
        objective: "elbo", "iwae", "renyi", a table {"kind": ..., options}, or (model, guide, x,
            beta) -> Terms; None takes `ELBO(kl, num_particles)`, and where cells are missing
            {"kind": "iwae", "num_particles": 5}.
        kl: closed form ("analytic"), draws ("monte_carlo"), or the former where it is known.
        num_particles: draws of z for each row and step.
        beta: final KL weight.
        kl_warmup_epochs: epochs in which the KL weight grows from 0 to `beta`.
        kl_cycles: how often it does so within them.
        ema_decay: decay of an exponential moving average of the weights, which is validated and
            kept instead of the last weights.
        patience: stop after so many epochs without a better one.
        on_nonfinite: what happens at a batch whose loss or gradient is not finite: "stop" ends the
            run and names the site and the rows, "skip" leaves the weights alone and counts it in
            `run.skipped`.
        sleep_share: further epochs for the guide alone on rows that the model draws, as a share of
            those made; the inference gap gets smaller.
        binarize: "dynamic" draws new bits of grey rows (in [0, 1], or bytes) in each step.
        seed: of the noise, the order of the rows and the split.
        device: "cpu", "cuda", "cuda:1", or "auto".
        compile: how a step is made. "off" runs the Python of model and guide each time. "replay"
            records the operations of one step and makes them again, with the same numbers to the
            last bit and no compiler: three times as fast for a small model. "step" compiles the
            whole step, and "loss" all but the optimizer, in some seconds and to other last digits.
            "auto" compiles runs of many steps (from 4000 to 28 000 on, by the model) and replays
            shorter ones, on the processor, but for Python of your own in parts or objective, which
            runs in each step. What was compiled before is found again; the environment variable
            PYRO_VAE_GRAPHS names its folder, or is "off". PYRO_VAE_PRODUCTS ("auto", "mkl",
            "onednn") names the library of large products.
        precision: of encoder and decoder: "full", or "bf16-mixed" (autocast).
        matmul_precision: `torch.set_float32_matmul_precision` while training.
        checkpoint: a file with the state of the run, written after an epoch where the last writing
            is 10 seconds ago. Where it exists, the same call resumes after its last epoch, with the
            same random numbers; a finished run is returned as it was. With more `epochs` than
            before it continues, with learning rate and β of the longer run: with the schedule
            "constant" that is what one long run does, and "cosine" rises again. Several processes
            have one file, which another number of processes may go on from.
        callbacks: functions of a row of the history, called after each epoch in their order; one
            that returns True stops the training. See `pyro_vae.training.Callback`.
        timeout: seconds after which one of several processes that gives no sign of life is named,
            and ends the run.
        progress: show a bar on stderr; None shows it on a terminal or in a notebook, and elsewhere
            a line a minute.

    Returns:
        The `Run`: the model, the history, the best epoch.

    Raises:
        ValueError: data that don't fit the model, options out of range, a loss that is not finite,
            a checkpoint of another run, weights that don't fit the rows or with a compiled step, a
            last batch of one row for a model that can't be trained on one.
        ProcessLost: another of several processes has ended, or gives no sign of life.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> run = fit(vae, torch.randn(100, 4), epochs=2, validation=20)
        >>> [row["epoch"] for row in run.history]
        [1, 2]
    """
    arguments = dict(locals())
    callbacks = require_callables(callbacks)
    if vae.spec.context is None:
        refuse_hidden_weights(x)
    options = described_options(arguments)
    torch_device = device_of_rank(choose_device(options.device))
    dtype = next(vae.parameters()).dtype
    placement = Placement(torch_device, dtype, grey=options.binarize == "dynamic")
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        own_seed(options.seed, torch_device),
        watched(options.timeout),
    ):
        require_trainable(vae, options)
        data, named_rows = read_data(
            vae, x, validation, weights, placement, options.seed, context
        )
        options = with_eager_steps(options, data.weights)
        options = with_budget(options, data.train.steps(options.batch_size))
        if objective is None:
            options = default_objective(vae, options, data.train)
        run = Run(vae, options)
        broadcast_parameters(vae.to(torch_device))
        # The optimizer takes the weights where they are now: on the device of the run.
        state = initial_state(vae, options, objective, optimizer)
        digests = {} if checkpoint is None else digests_of(named_rows)
        check_and_initialise(vae, named_rows, data.train, placement.grey, digests)
        data = with_binary_validation(data, vae, placement, options.seed)
        examine(run, state, data)
        factor = schedule if callable(schedule) else SCHEDULES[options.schedule]
        order = torch.Generator().manual_seed(options.seed)
        texts = texts_of(digests, data.weights)
        training = Training(
            run,
            state,
            data,
            factor,
            order,
            texts,
            given=named_rows["x"],
            noise=own_noise(options.seed, torch_device),
            labels=partial(row_labels, x, vae.spec.table),
        )
        _train(training, checkpoint, callbacks, progress)
        _warn(training)
    return run


def _warn(training: Training) -> None:
    """Warn of what a training that ended well may have gone wrong in."""
    for sentence in (training.run.warning, *symptoms(training)):
        if sentence is not None and is_first():
            warn_caller(f"fit: {sentence}")


def _train(
    training: Training,
    path: str | os.PathLike[str] | None,
    callbacks: Sequence[Callback],
    shown: bool | None,
) -> None:
    """The epochs of a run, and its sleep phase."""
    run = training.run
    saved = None
    if path is not None:
        saved = Checkpoint(Path(os.path.expanduser(path)), training)
        saved.read()
    steps_done = training.steps_per_epoch * len(run.history)
    steps_in_all = training.steps_per_epoch * (run.options.epochs or 0)
    steps_function = choose_steps(
        training.state, run.options, steps_in_all - steps_done, training.noise
    )
    training.state = with_guard(training.state, run.options, steps_function)
    for group in training.state.optimizer.param_groups:
        # An optimizer that was used before has the last rate of that run as its "lr".
        group.setdefault("initial_lr", group["lr"])
    progress = Progress(steps_done, steps_in_all, shown=shown if is_first() else False)
    try:
        with unvalidated(), progress, interrupted_together():
            with nullcontext() if saved is None else deferred():
                make_epochs(training, steps_function, saved, callbacks, progress)
            refit_guide(training, saved)
    except KeyboardInterrupt:
        run.interrupted = True
        kept = "those from before the run"
        if run.best_epoch:
            kept = f"those of epoch {run.best_epoch}"
        warn_caller(
            f"fit: interrupted after {len(run.history)} of {run.options.epochs} epochs; "
            f"the weights are {kept}"
        )
    finally:
        run.restore()
        run.vae.eval()
