"""What a run says of itself before and after its training."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from pyro_vae.data import Table
from pyro_vae.data.inspection import summary
from pyro_vae.data.natural_likelihood import FROM_MAXIMUM
from pyro_vae.distributed.process_group import world_size
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.splits import ExperimentRows
from pyro_vae.spec import Context
from pyro_vae.training import Run
from pyro_vae.training.options import choose_device
from pyro_vae.vae import VAE
from pyro_vae.version import __version__

MOST_COLUMNS = 40
"""Columns that are listed one by one."""


def heading(experiment: Experiment, rows: ExperimentRows, vae: VAE) -> str:
    """The first paragraph: version, device, numbers of rows, how they were read, model."""
    device = choose_device(experiment.fit.device)
    processes = f"{world_size()} processes, each " if world_size() > 1 else ""
    splits = rows.splits
    counts = [f"{len(rows.train)} rows to fit"]
    if splits.valid is not None:
        counts.append(f"{len(splits.valid)} to choose the best epoch")
    counts.append(f"{len(rows.test)} held out")
    first = f"pyro-vae {__version__}   {processes}{device}{_threads(device)}"
    lines = [f"{splits.name}: {', '.join(counts)}", *splits.notes]
    if splits.table is not None:
        lines += [*_missing(splits.table, vae), "", *columns_of(splits.table), ""]
    if splits.context is not None:
        lines[-1:] = [f"given: {_given(splits.context)}", ""]
    read = "\n".join(lines)
    return f"{first}\n\n{read}\n{vae}\n"


def _missing(table: Table, vae: VAE) -> list[str]:
    """What the model makes of missing cells; nothing where there are none."""
    count = sum(table.missing.values())
    if count == 0 or vae.spec.missing == "none":
        return []
    share = count / table.values.size
    kind, what = "at_random", "the observed ones"
    if vae.spec.self_masking is not None:
        kind, what = "self_masking", "the observed ones and of which they are"
    return [
        f'{count} missing cells ({share:.1%}): the model is of {what}, missing="{kind}"'
    ]


def _given(context: Context) -> str:
    """The columns of a context, with the number of the levels of each."""
    assert context.table is not None
    names = [
        column.name
        if column.levels is None
        else f"{column.name} ({len(column.levels)} levels)"
        for column in context.table.modelled
    ]
    return ", ".join(names)


def columns_of(table: Table) -> list[str]:
    """The kinds of the columns and what to look at, before the first step."""
    if len(table.schema.columns) > MOST_COLUMNS:
        counts = Counter(column.kind for column in table.schema.columns)
        kinds = [f"{count} {kind}" for kind, count in counts.most_common()]
        return [f"columns: {', '.join(kinds)} (all of them: pyro-vae inspect)"]
    _, *lines = summary(replace(table, notes=())).splitlines()
    if any(reason.asks for reason in table.reasons):
        lines.append(
            "for another kind: --set columns.NAME=KIND, or columns.NAME=left_out"
        )
    return lines


def _threads(device: torch.device) -> str:
    count = torch.get_num_threads()
    if device.type != "cpu":
        return ""
    return f", {count} threads" if count > 1 else ", 1 thread"


def reason(vae: VAE, why: str) -> str:
    """Why this likelihood, where the data decided, and how to take another."""
    if not why:
        return ""
    likelihood = vae.spec.likelihood
    name = likelihood.kind
    option = FROM_MAXIMUM.get(likelihood.kind)
    if option is not None:
        name += f" with {option} {likelihood.options()[option]}"
    return f"likelihood {name}: {why} (for another: --set likelihood=...)\n"


def training(trained: Run, folder: Path) -> str:
    """The summary of the training, and where its weights are."""
    first, *rest = trained.summary().splitlines()
    saved = first.replace("weights are those", "weights")
    return "\n".join([f"trained {saved} are saved in {folder}", *rest])
