"""The checkpoint of a run: all that changes from epoch to epoch, in one file."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from pyro_vae.arguments import warn_caller
from pyro_vae.atomic_files import require_permission, written_whole
from pyro_vae.data.loaders import LoaderRows
from pyro_vae.distributed.process_group import world_size
from pyro_vae.rng import generators, row_hash
from pyro_vae.training.epoch import Training
from pyro_vae.training.fused_adam import without_compiler
from pyro_vae.training.training_data import TrainingData

FORMAT = 1
SECONDS = 10.0
"""Smallest time between two writings of a file; the last epoch is always written."""
FREE = ("device", "compile")
"""Options that may differ when a run is resumed."""
LENGTH = ("epochs", "min_steps")
"""Options that make a run longer, and may differ too."""


class Checkpoint:
    """One file with weights, best weights, averages, optimizer, generators and history.

    A different model, options or data are detected when it is read. What a function of the user's
    computes can't be compared.

    Arguments:
        path: the file; it contains no pickle and no rows.
        training: the run.

    Raises:
        ValueError: several processes.
    """

    def __init__(self, path: Path, training: Training) -> None:
        if world_size() > 1:
            raise ValueError(
                f"checkpoint: expected one process, got {world_size()}; leave it out"
            )
        self.path = path
        self.training = training
        self.written = time.monotonic()
        self.rows = _fingerprint(training.data)

    def write(self, last: bool) -> None:
        """Write the file, unless that was done a moment ago and it is not the last epoch."""
        if not last and time.monotonic() - self.written < SECONDS:
            return
        self.written = time.monotonic()  # a full disk is not tried again in each epoch
        metadata = {"pyro_vae": self._description()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as draft:
                save_file(self._tensors(), draft, metadata=metadata)
        except (OSError, SafetensorError) as error:
            warn_caller(
                f"fit: the checkpoint can't be written, and the run goes on without: {error}"
            )

    def read(self) -> None:
        """Put the run where the file has it; without a file it stays at its start.

        Raises:
            ValueError: the file is of another run, or damaged.
        """
        if not self.path.exists():
            return
        saved, tensors = self._load()
        self._require_same(saved.get("made_for", {}))
        done = len(saved.get("history", ()))
        epochs = self.training.options.epochs or 0
        if done > epochs:
            raise ValueError(
                f"{self.path}: holds a run of {done} epochs, and {epochs} are asked for; "
                f"take epochs={done} or more, or another file"
            )
        try:
            self._restore(saved, tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: damaged, or of another model: {error}"
            ) from error

    def _description(self) -> str:
        """What the file holds besides tensors, as JSON."""
        run = self.training.run
        numbers, _ = _optimizer_state(self.training.state.optimizer)
        return json.dumps(
            {
                "made_for": self._made_for(),
                "optimizer": numbers,
                "history": run.history,
                "best_epoch": run.best_epoch,
                "steps": self.training.state.steps,
            }
        )

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of the file, each named by its group and its name there."""
        run = self.training.run
        state = self.training.state
        _, optimizer = _optimizer_state(state.optimizer)
        averages = [] if state.ema is None else state.ema.values
        generator_states = [generator.get_state() for generator in self._generators()]
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": run.vae.state_dict(),
            "best": run.best,
            "average": dict(_numbered(averages)),
            "optimizer": optimizer,
            "generator": dict(_numbered(generator_states)),
        }
        return {
            f"{group}.{name}": _copy_on_cpu(tensor)
            for group, tensors in groups.items()
            for name, tensor in tensors.items()
        }

    def _restore(self, saved: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        run = self.training.run
        state = self.training.state
        run.vae.load_state_dict(_group(tensors, "model"))
        best = _group(tensors, "best")
        run.best = {name: tensor.to(self._device()) for name, tensor in best.items()}
        run.history = saved["history"]
        run.best_epoch = saved["best_epoch"]
        _restore_optimizer(
            state.optimizer, saved["optimizer"], _group(tensors, "optimizer")
        )
        if state.ema is not None:
            for index, average in _group(tensors, "average").items():
                state.ema.values[int(index)].copy_(average)
        own_generators = self._generators()
        for index, generator_state in _group(tensors, "generator").items():
            own_generators[int(index)].set_state(generator_state)
        self.training.state = replace(state, steps=saved["steps"])

    def _load(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
            return json.loads(metadata["pyro_vae"]), load_file(self.path)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            require_permission(self.path)
            raise ValueError(
                f"{self.path}: holds no unfinished run: {error}; choose another file"
            ) from error

    def _require_same(self, made_for: dict[str, Any]) -> None:
        """Raise ValueError for a checkpoint of a different model, options or data."""
        for name, own in self._made_for().items():
            other = made_for.get(name)
            if own != other:
                raise ValueError(
                    f"{self.path}: holds another run: {name} was {other}, and is {own}; "
                    "take what was taken there, or another file"
                )

    def _made_for(self) -> dict[str, Any]:
        """What makes two runs the same: model, options and rows; as JSON has it."""
        run = self.training.run
        options = run.options.model_dump(mode="json", exclude={*FREE, *LENGTH})
        made_for = {
            "format": FORMAT,
            "model": run.vae.spec.model_dump(mode="json"),
            "rows": self.rows,
            **options,
        }
        # JSON makes lists of tuples, also in what it is compared with.
        as_read: dict[str, Any] = json.loads(json.dumps(made_for))
        return as_read

    def _generators(self) -> list[torch.Generator]:
        return [self.training.order, *generators(self._device())]

    def _device(self) -> torch.device:
        return next(self.training.run.vae.parameters()).device


def _fingerprint(data: TrainingData) -> list[int]:
    """Numbers by which other rows are detected: how many there are, and hashes of some."""
    valid = 0 if data.valid is None else data.valid.steps(1)
    is_loader = isinstance(
        data.train, LoaderRows
    )  # whose order differs from pass to pass
    first = 0 if is_loader else row_hash(next(data.train.batches(16)))
    numbers = [data.train.steps(1), valid, first]
    if data.weights is not None:
        weights = torch.cat(list(data.weights.train.batches(4096)))
        numbers.append(row_hash(weights))
    return numbers


def _optimizer_state(
    optimizer: Optimizer,
) -> tuple[dict[int, dict[str, Any]], dict[str, Tensor]]:
    """The state of an optimizer: numbers by weight and name, and tensors by both in one name."""
    numbers: dict[int, dict[str, Any]] = {}
    tensors: dict[str, Tensor] = {}
    with without_compiler():
        states = optimizer.state_dict()["state"]
    for index, values in states.items():
        numbers[index] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                numbers[index][name] = value
    return numbers, tensors


def _restore_optimizer(
    optimizer: Optimizer,
    numbers: dict[str, dict[str, Any]],
    tensors: dict[str, Tensor],
) -> None:
    """The inverse of `_optimizer_state`; JSON has made text of the numbers of the weights."""
    state = {int(index): dict(values) for index, values in numbers.items()}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state[int(index)][name] = tensor
    with without_compiler():
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _numbered(tensors: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((str(index), tensor) for index, tensor in enumerate(tensors))


def _group(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    """The tensors of a group, by their names in it."""
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _copy_on_cpu(tensor: Tensor) -> Tensor:
    """A contiguous copy: two names of one weight have memory of their own in the file."""
    return tensor.detach().to("cpu", copy=True).contiguous()
