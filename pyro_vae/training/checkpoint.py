"""The checkpoint of a run: all that changes from epoch to epoch, in one file."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from pyro_vae.arguments import warn_caller
from pyro_vae.atomic_files import (
    remove_drafts_of,
    require_permission,
    written_whole,
)
from pyro_vae.checksums import SEAL, content_sha256, save_tensors
from pyro_vae.distributed.process_group import world_size
from pyro_vae.rng import generators
from pyro_vae.training.epoch import Training
from pyro_vae.training.saved_state import (
    Saved,
    optimizer_state,
    restore_optimizer,
)
from pyro_vae.version import versions

FORMAT = 2
SECONDS = 10.0
"""Smallest time between two writings of a file; the first and last epochs are always written."""
FREE = ("device", "compile", "on_nonfinite")
"""Options that may differ when a run is resumed."""
LENGTH = ("epochs", "min_steps")
"""Options that make a run longer, and may differ too."""


class Checkpoint:
    """One file with weights, best weights, averages, optimizer, generators and history.

    A different model, options or data are detected when it is read, and so is any change of the
    file, by a SHA-256. What a function of the user's computes can't be compared.

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
        self.written = -math.inf
        self.trained: dict[str, Tensor] = {}

    def write(self, last: bool) -> None:
        """Write the file, unless that was done a moment ago and it is not the last epoch."""
        if not last and time.monotonic() - self.written < SECONDS:
            return
        self.written = time.monotonic()  # a full disk is not tried again in each epoch
        run = self.training.run
        if not run.slept:  # with which training would go on
            self.trained = _copies(run.vae.state_dict())
        text = self._description()
        tensors = self._tensors()
        metadata = {"pyro_vae": text, SEAL: content_sha256(tensors, text)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as draft:
                save_tensors(tensors, draft, metadata)
        except OSError as error:
            warn_caller(
                f"fit: the checkpoint can't be written, and the run goes on without: {error}"
            )

    def read(self) -> None:
        """Put the run where the file has it; without a file it stays at its start.

        Raises:
            ValueError: the file is of another run, or damaged.
        """
        remove_drafts_of(self.path)
        if not self.path.exists():
            return
        saved, tensors = self._load()
        self._require_same(saved.made_for)
        self._compare_versions(saved.versions)
        done = len(saved.history)
        epochs = self.training.options.epochs or 0
        if done > epochs:
            raise ValueError(
                f"{self.path}: holds a run of {done} epochs, and {epochs} are asked for; "
                f"take epochs={done} or more, or another file"
            )
        try:
            self._restore(saved, tensors)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: damaged, or of another model: {error}"
            ) from error

    def _description(self) -> str:
        """What the file holds besides tensors, as JSON."""
        run = self.training.run
        state = self.training.state
        numbers, _ = optimizer_state(state.optimizer)
        return json.dumps(
            {
                "made_for": self._made_for(),
                "versions": versions(),
                "optimizer": numbers,
                "history": run.history,
                "slept": run.slept,
                "best_epoch": run.best_epoch,
                "steps": state.steps,
                "skipped": state.skipped,
            }
        )

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of the file, each named by its group and its name there."""
        state = self.training.state
        _, optimizer = optimizer_state(state.optimizer)
        averages = [] if state.ema is None else state.ema.values
        generator_states = [generator.get_state() for generator in self._generators()]
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": self.trained,
            "best": _copies(self.training.run.best),
            "average": _copies(dict(_numbered(averages))),
            "optimizer": _copies(optimizer),
            "generator": _copies(dict(_numbered(generator_states))),
        }
        return {
            f"{group}.{name}": tensor
            for group, tensors in groups.items()
            for name, tensor in tensors.items()
        }

    def _restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        run = self.training.run
        state = self.training.state
        self.trained = _group(tensors, "model")
        run.vae.load_state_dict(self.trained)
        best = _group(tensors, "best")
        _require_alike(best, run.best)
        run.best = {name: tensor.to(self._device()) for name, tensor in best.items()}
        run.history = [dict(row) for row in saved.history]
        run.slept = [dict(row) for row in saved.slept]
        run.best_epoch = saved.best_epoch
        restore_optimizer(
            state.optimizer, saved.optimizer, _group(tensors, "optimizer")
        )
        if state.ema is not None:
            for index, average in _group(tensors, "average").items():
                state.ema.values[int(index)].copy_(average)
        own_generators = self._generators()
        for index, generator_state in _group(tensors, "generator").items():
            own_generators[int(index)].set_state(generator_state)
        run.skipped = saved.skipped
        self.training.state = replace(state, steps=saved.steps, skipped=saved.skipped)

    def _load(self) -> tuple[Saved, dict[str, Tensor]]:
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
            text, seal = metadata["pyro_vae"], metadata.get(SEAL)
            tensors = load_file(self.path)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            require_permission(self.path)
            raise ValueError(
                f"{self.path}: holds no unfinished run: {error}; choose another file"
            ) from error
        self._require_format(text)
        if seal != content_sha256(tensors, text):
            raise ValueError(
                f"{self.path}: damaged: its content isn't that which was written (SHA-256); delete "
                "it and start again, or choose another file"
            )
        try:
            return Saved.model_validate_json(text), tensors
        except ValueError as error:
            raise ValueError(
                f"{self.path}: damaged, or of another version: {error}"
            ) from error

    def _require_format(self, text: str) -> None:
        """Raise ValueError for the file of another version, before anything else in it is read."""
        try:
            found = json.loads(text)["made_for"]["format"]
        except (LookupError, RecursionError, TypeError, ValueError):
            return  # the checksum says what it is
        if found != FORMAT:
            raise ValueError(
                f"{self.path}: written by another version of pyro_vae: expected format {FORMAT}, "
                f"got {found}; go on with that version, or start again"
            )

    def _require_same(self, made_for: dict[str, Any]) -> None:
        """Raise ValueError for a checkpoint of a different model, options or data."""
        for name, own in self._made_for().items():
            other = made_for.get(name)
            if own == other:
                continue
            if "of a loader" in str(own) and "of a loader" in str(other):
                warn_caller(
                    f"fit: {name} was {other}, and is {own}: random changes of the rows, or other "
                    f"rows than those of {self.path}"
                )
                continue
            raise ValueError(
                f"{self.path}: holds another run: {name} was {other}, and is {own}; "
                "take what was taken there, or another file"
            )

    def _compare_versions(self, written: dict[str, str]) -> None:
        """Warn of other versions of the libraries: the numbers may have other last digits."""
        now = versions()
        changed = [
            f"{name} {before}, now {now.get(name)}"
            for name, before in written.items()
            if before != now.get(name)
        ]
        if changed:
            warn_caller(
                f"fit: {self.path} was written with {', '.join(changed)}: the run goes on, with "
                "numbers that may differ from those of one run"
            )

    def _made_for(self) -> dict[str, Any]:
        """What makes two runs the same: model, options and rows; as JSON has it."""
        run = self.training.run
        options = run.options.model_dump(mode="json", exclude={*FREE, *LENGTH})
        rows = {f"rows of {name}": text for name, text in self.training.rows.items()}
        made_for = {
            "format": FORMAT,
            "model": run.vae.spec.model_dump(mode="json"),
            "rows to choose the best epoch": self.training.data.count_of_validation,
            **rows,
            **options,
        }
        # JSON makes lists of tuples, also in what it is compared with.
        as_read: dict[str, Any] = json.loads(json.dumps(made_for))
        return as_read

    def _generators(self) -> list[torch.Generator]:
        return [self.training.order, *generators(self._device())]

    def _device(self) -> torch.device:
        return next(self.training.run.vae.parameters()).device


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


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU: two names of one weight have memory of their own in a file."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in tensors.items()
    }


def _require_alike(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise ValueError for weights of other names or shapes than those of the model."""
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    others = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != others:
        raise ValueError("the best weights have other names or shapes than the model")
