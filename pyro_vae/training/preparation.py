"""What is done before the first step: rows are read and checked, and the model is initialised."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.arguments import warn_caller
from pyro_vae.data import ArrayRows, LoaderRows, Placement, Rows
from pyro_vae.data.binarize import binarized_once, bits_of
from pyro_vae.data.given_rows import GivenRows
from pyro_vae.data.loaders import undisturbed
from pyro_vae.data.names import shortened
from pyro_vae.data.rounding import Cast
from pyro_vae.data.summary_statistics import Statistics, farthest
from pyro_vae.hooks import StartsFromData
from pyro_vae.inputs import (
    checked_batches,
    model_rows,
    own_part,
    own_parts,
    pass_size,
    require_precise,
)
from pyro_vae.learned_columns import learn_columns
from pyro_vae.objectives import Objective
from pyro_vae.spec import data_support
from pyro_vae.training.contexts import (
    start_contexts,
    summary_of,
    with_context_terms,
)
from pyro_vae.training.ema import ExponentialMovingAverage
from pyro_vae.training.options import (
    FitOptions,
    MakeOptimizer,
    make_objective,
    make_optimizer,
)
from pyro_vae.training.row_digest import RowDigest
from pyro_vae.training.sanity_check import warn_of_labels
from pyro_vae.training.train_step import State
from pyro_vae.training.training_data import TrainingData, TrainingRows
from pyro_vae.training.validation_split import is_number, split
from pyro_vae.training.weights import RowWeights
from pyro_vae.vae import VAE

NO_DIGESTS: Mapping[str, RowDigest] = MappingProxyType({})
MISSING_OBJECTIVE = {"kind": "iwae", "num_particles": 5}
"""The objective where cells are missing: more draws gave no smaller errors of imputed cells."""


def described_options(arguments: dict[str, Any]) -> FitOptions:
    """The arguments of `fit` that a file can hold: no functions, and no rows of the user."""
    given = {name: arguments[name] for name in FitOptions.model_fields}
    if not is_number(given["validation"]):
        given["validation"] = None
    return FitOptions(
        **{name: value for name, value in given.items() if not callable(value)}
    )


def read_data(
    vae: VAE,
    x: Any,
    validation: Any,
    weights: Any,
    placement: Placement,
    seed: int,
    context: Any = None,
) -> tuple[TrainingData, dict[str, Rows]]:
    """The rows of a run, and all rows under the names of the arguments that hold them."""
    learn_columns(vae, x)
    rows = model_rows(vae, x, placement, context=context, streams=True)
    train, valid = split(rows, validation, vae, placement, seed)
    warn_of_labels(vae, train)
    row_weights = None
    if weights is not None:
        row_weights = RowWeights(weights, rows, validation, placement, seed)
    named = {"x": rows}
    if valid is not None and not is_number(validation):
        named["validation"] = valid
    return TrainingData(train, valid, row_weights), named


def initial_state(
    vae: VAE,
    options: FitOptions,
    objective: str | Mapping[str, Any] | Objective | None,
    optimizer: str | MakeOptimizer,
) -> State:
    """The state before the first step; a callable objective or optimizer is the user's own."""
    if objective is None or isinstance(objective, str | Mapping):
        objective = make_objective(options)
    objective = with_context_terms(vae.spec.context, objective)
    make = optimizer if callable(optimizer) else None
    ema = None
    if options.ema_decay is not None:
        ema = ExponentialMovingAverage(list(vae.parameters()), options.ema_decay)
    return State(
        vae,
        objective,
        make_optimizer(options, vae.parameters(), make),
        clip_norm=options.clip_norm,
        ema=ema,
        binarize=options.binarize == "dynamic",
    )


def check_and_initialise(
    vae: VAE,
    named: Mapping[str, Rows],
    train: Rows,
    grey: bool = False,
    digests: Mapping[str, RowDigest] = NO_DIGESTS,
) -> None:
    """Check all rows; a model that was never trained is initialised from the training rows.

    Arguments:
        vae: the model.
        named: the rows that were given, by the name of the argument.
        train: the training rows.
        grey: whether rows are grey levels, from which bits are drawn.
        digests: of the rows by the name of the argument, made in the same pass.

    Raises:
        ValueError: rows outside the support of the likelihood, or of another shape.
    """
    seen: TrainingRows | None = None
    if not vae.initialized and not grey and vae.spec.context is None:
        seen = TrainingRows.among(named["x"], train)
    counts: dict[str, int] = {}
    for name, rows in named.items():
        of_training = seen if name == "x" else None
        digest = digests.get(name)
        counts[name] = _check(vae, name, rows, grey, digest, of_training)
    if vae.model.effects is not None:
        is_loader = isinstance(train, LoaderRows)  # which may leave rows out
        vae.model.effects.rows.fill_(counts["x"] if is_loader else len(train))
    if not vae.initialized:
        _initialise(vae, named["x"], _summary(vae, train, seen), grey)
        if vae.spec.context is not None:
            start_contexts(vae, train.batches(pass_size(vae)))
        vae.initialized.fill_(True)


def _check(
    vae: VAE,
    name: str,
    rows: Rows,
    grey: bool,
    digest: RowDigest | None,
    seen: TrainingRows | None,
) -> int:
    """One pass, in which rows are checked, and what else has to see them all sees them.

    Returns:
        How many there were.
    """
    size = pass_size(vae)
    cast = None
    if isinstance(rows, ArrayRows) and not isinstance(rows, GivenRows) and not grey:
        cast = Cast(rows)
    batches = cast.batches(size) if cast and cast.rounds else rows.batches(size)
    count = empty = 0
    for batch in checked_batches(vae, batches, name, grey):
        count += len(batch)
        if digest is not None:
            digest.update(batch)
        if seen is not None:
            seen.take(batch)
        if vae.spec.missing != "none":
            x = own_part(vae, batch)
            empty += int(x.isnan().flatten(1).all(1).sum())
    if vae.spec.self_masking is None:
        _warn_of_empty(name, empty, len(rows))
    require_precise(vae, rows, name, cast)
    return count


def _summary(vae: VAE, train: Rows, seen: TrainingRows | None) -> Statistics:
    """The statistics of the training rows, which are read where they have not passed."""
    size = pass_size(vae)
    order = torch.Generator().manual_seed(0)
    if seen is None:
        return summary_of(vae, train.batches(size, order))
    (sample,) = next(train.stacks(size, 1, order))
    return seen.statistics.result(sample)


def _initialise(vae: VAE, rows: Rows, summary: Statistics, grey: bool) -> None:
    """Start the modules that start from data."""
    _require_observed(vae, summary)
    if grey:
        summary = bits_of(summary)
    elif summary.outlying.any():  # never of bits
        _warn_of_outliers(vae, own_parts(vae, rows.batches(pass_size(vae))), summary)
    for module in vae.modules():
        if isinstance(module, StartsFromData):
            module.pyro_vae_start(summary)


def default_objective(vae: VAE, options: FitOptions, train: Rows) -> FitOptions:
    """The options with importance weights of 5 draws where cells are missing.

    Other options of the ELBO, and a guide without a density, keep the ELBO.

    References:
        MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets (Mattei, Frellsen,
        2019).
    """
    if vae.spec.missing == "none" or vae.spec.guide.kind == "delta":
        return options
    fields = ("kl", "num_particles", "beta", "kl_warmup_epochs")
    default = FitOptions()
    is_asked = any(getattr(options, name) != getattr(default, name) for name in fields)
    if is_asked or not _lacks_cells(vae, train):
        return options
    return FitOptions.model_validate(
        options.model_dump(exclude_none=True) | {"objective": MISSING_OBJECTIVE}
    )


def _lacks_cells(vae: VAE, rows: Rows) -> bool:
    """Whether some cell of x is missing; unknown labels are none."""
    batches = undisturbed(rows.batches(pass_size(vae)))
    return any(bool(x.isnan().any()) for x in own_parts(vae, batches))


def _warn_of_empty(name: str, empty: int, rows: int) -> None:
    if empty:
        warn_caller(
            f"{name}: {empty} of {rows} rows have no observed cell; they are kept, and add "
            "nothing to the fit of p(x | z): the probability of no cell is 1"
        )


def _require_observed(vae: VAE, summary: Statistics) -> None:
    """Raise ValueError for a column without an observed cell, of which nothing can be learned."""
    empty = (summary.count == 0).nonzero()
    if not len(empty):
        return
    indices = [tuple(map(int, index)) for index in empty]
    columns = [index[0] if len(index) == 1 else index for index in indices]
    shown = ", ".join(map(str, columns[:5])) + (", ..." if len(columns) > 5 else "")
    if vae.spec.table is not None:
        shown = shortened([vae.spec.table.names[index[0]] for index in indices])
    raise ValueError(
        f"x: expected an observed cell in each column, got none in the training rows of {shown}; "
        "leave these columns out, or take other rows"
    )


def with_binary_validation(
    data: TrainingData,
    vae: VAE,
    placement: Placement,
    seed: int,
) -> TrainingData:
    """The data with binary validation rows: grey ones are binarized once for the whole run."""
    if data.valid is None or not placement.grey:
        return data
    bits = binarized_once(data.valid, vae.spec.data_shape, seed, placement)
    return TrainingData(data.train, bits, data.weights)


def _warn_of_outliers(
    vae: VAE,
    batches: Iterator[Tensor],
    summary: Statistics,
) -> None:
    """Warn of the outlier that inflates a standard deviation most, among unbounded columns."""
    family = getattr(vae.likelihood, "family", None)
    if getattr(family, "warp", None) is not None:
        return  # its unit is robust, and its map is for far cells
    support, _ = data_support(vae.likelihood, vae.spec.decoder_inputs)
    is_real = support.check(torch.full((1, *vae.spec.data_shape), -0.5))
    outlying = summary.outlying.cpu() & is_real.expand(1, *vae.spec.data_shape)[0]
    ratio = torch.where(outlying, (summary.std / summary.robust_std).cpu(), 0.0)
    if not ratio.any():
        return
    index = np.unravel_index(int(ratio.argmax()), ratio.shape)
    feature = tuple(int(i) for i in index)
    row, value, distance = farthest(undisturbed(batches), summary, feature)
    column = feature[0] if len(feature) == 1 else feature
    warn_caller(
        f"x: {value:g} in row {row}, column {column} is {distance:.3g} robust standard deviations "
        "(1.4826 median absolute deviations) from the column's median, and makes its standard "
        f"deviation {float(ratio.max()):.3g} times that of most rows; columns like this: "
        f"{int((ratio > 0).sum())}. If it stands for a missing value, drop the row or fill it in; "
        "if it is real, take likelihood 'student_t', or 'normal' with warp='asinh'"
    )
