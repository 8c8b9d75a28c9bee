"""The epochs of a run, each with its validation and its checkpoint, and the sleep phase."""

from collections.abc import Sequence
from contextlib import nullcontext

from pyro_vae.arguments import warn_caller
from pyro_vae.distributed.collectives import average_buffers, in_any
from pyro_vae.networks import mixed_precision
from pyro_vae.termination import Terminated, is_asked
from pyro_vae.training.callbacks import Callback, call
from pyro_vae.training.checkpoint import Checkpoint
from pyro_vae.training.epoch import (
    StepsFunction,
    Training,
    not_finite,
    require_finite,
    train_epoch,
    validate,
)
from pyro_vae.training.nonfinite import FAILURES, NotFiniteStep
from pyro_vae.training.progress import Progress
from pyro_vae.training.sleep import sleep
from pyro_vae.training.step_choice import choose_terms, is_compiled, look_again


def make_epochs(
    training: Training,
    steps_function: StepsFunction,
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback],
    progress: Progress,
) -> None:
    """The epochs that are left, each with its validation."""
    terms = choose_terms(training.state, training.run.options, callbacks)
    run = training.run
    options = run.options
    last = options.epochs or 0
    epochs = range(len(run.history) + 1, last + 1)
    if epochs and is_compiled(steps_function):
        progress.compiling()
    for epoch in epochs:
        if run.exhausted():
            break
        run.slept = []  # of a checkpoint of fewer epochs
        with mixed_precision(options.precision, options.matmul_precision):
            row = train_epoch(training, epoch, steps_function, progress)
        average_buffers(run.vae)
        try:
            row |= validate(training.state, training.data, options, terms)
        except FAILURES as error:
            raise not_finite(
                "a covariance of the validation rows", f"{epoch}", options
            ) from error
        require_finite(row, options)
        ema = training.state.ema
        # The averages were validated, so that they are kept; training goes on with the weights.
        with ema.applied() if ema else nullcontext():
            run.keep(row)
        progress.epoch(row)
        call(callbacks, run)
        if callbacks:
            look_again(steps_function, run.vae)
        if checkpoint is not None:
            _save(checkpoint, epoch == last or run.exhausted() or run.stopped)
        if run.stopped:
            break


def _save(checkpoint: Checkpoint, is_last: bool) -> None:
    """Write the checkpoint, and end with it where SIGTERM has come to one of the processes."""
    is_ending = in_any(is_asked())
    checkpoint.write(last=is_last or is_ending)
    if is_ending:
        raise Terminated


def refit_guide(training: Training, checkpoint: Checkpoint | None) -> None:
    """The sleep phase of a run that has one, unless its checkpoint has it."""
    run = training.run
    if not run.options.sleep_share or run.slept:
        return
    run.restore()
    run.remember()  # the sleep phase may find better ones
    try:
        sleep(run, training.state, training.data)
    except (NotFiniteStep, *FAILURES) as error:
        warn_caller(
            f"fit: the sleep phase has ended early: {error} not finite; the best weights are kept"
        )
        return
    if checkpoint is not None:
        checkpoint.write(last=True)
