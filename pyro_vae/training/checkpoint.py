"""The checkpoint of a run: all that changes from epoch to epoch, in one file."""

import json
import math
import time
from collections.abc import Mapping
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
from pyro_vae.distributed.collectives import from_first, gathered
from pyro_vae.distributed.process_group import is_first, rank, seed_of_rank, world_size
from pyro_vae.rng import generators
from pyro_vae.training.data_parallel import own_noise
from pyro_vae.training.epoch import Training
from pyro_vae.training.saved_state import (
    Saved,
    optimizer_state,
    restore_optimizer,
)
from pyro_vae.training.tensor_groups import copies, group_of, numbered, require_alike
from pyro_vae.version import versions

FORMAT = 2
SECONDS = 10.0
"""Smallest time between two writings of a file; the first and last epochs are always written."""
FREE = ("device", "compile", "on_nonfinite", "timeout")
"""Options that may differ when a run is resumed."""
LENGTH = ("epochs", "min_steps")
"""Options that make a run longer, and may differ too."""


class Checkpoint:
    """One file with weights, best weights, averages, optimizer, generators and history.

    A different model, options or data are detected when it is read, and so is any change of the
    file, by a SHA-256. What a function of the user's computes can't be compared.

    Of several processes the first reads and writes it, and all call `read` and `write` together.
    Another number of processes goes on with the same batches and with noise of its own.

    Arguments:
        path: the file; it contains no pickle and no rows.
        training: the run.
    """

    def __init__(self, path: Path, training: Training) -> None:
        self.path = path
        self.training = training
        self.written = -math.inf
        self.trained: dict[str, Tensor] = {}

    def write(self, last: bool) -> None:
        """Write the file, unless that was done a moment ago and it is not the last epoch."""
        noise = gathered(self._noise())
        is_too_soon = time.monotonic() - self.written < SECONDS
        if not is_first() or (is_too_soon and not last):
            return
        self.written = time.monotonic()  # a full disk is not tried again in each epoch
        run = self.training.run
        if not run.slept:  # with which training would go on
            self.trained = copies(run.vae.state_dict())
        text = self._description()
        tensors = self._tensors(noise)
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
        found = from_first(self._found)
        if found is None:
            return
        saved, tensors = found
        try:
            self._restore(saved, tensors)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: damaged, or of another model: {error}"
            ) from error

    def _found(self) -> tuple[Saved, dict[str, Tensor]] | None:
        """What the file holds of this run; None where there is none."""
        remove_drafts_of(self.path)
        if not self.path.exists():
            return None
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
        return saved, tensors

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
                "processes": world_size(),
            }
        )

    def _noise(self) -> list[Tensor]:
        """The state of the noise of this process, where it is one of several."""
        noise = self.training.noise
        return [] if noise is None else noise.states

    def _tensors(self, noise: list[list[Tensor]]) -> dict[str, Tensor]:
        """The tensors of the file, each named by its group and its name there.

        Arguments:
            noise: the states of the noise of each process.
        """
        state = self.training.state
        _, optimizer = optimizer_state(state.optimizer)
        averages = [] if state.ema is None else state.ema.values
        generator_states = [generator.get_state() for generator in self._generators()]
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": self.trained,
            "best": copies(self.training.run.best),
            "average": copies(dict(numbered(averages))),
            "optimizer": copies(optimizer),
            "generator": copies(dict(numbered(generator_states))),
            **{
                f"noise of {number}": copies(dict(numbered(states)))
                for number, states in enumerate(noise)
            },
        }
        return {
            f"{group}.{name}": tensor
            for group, tensors in groups.items()
            for name, tensor in tensors.items()
        }

    def _restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        run = self.training.run
        state = self.training.state
        self.trained = group_of(tensors, "model")
        run.vae.load_state_dict(self.trained)
        best = group_of(tensors, "best")
        require_alike(best, run.best)
        run.best = {name: tensor.to(self._device()) for name, tensor in best.items()}
        run.history = [dict(row) for row in saved.history]
        run.slept = [dict(row) for row in saved.slept]
        run.best_epoch = saved.best_epoch
        restore_optimizer(
            state.optimizer, saved.optimizer, group_of(tensors, "optimizer")
        )
        if state.ema is not None:
            for index, average in group_of(tensors, "average").items():
                state.ema.values[int(index)].copy_(average)
        own_generators = self._generators()
        for index, generator_state in group_of(tensors, "generator").items():
            own_generators[int(index)].set_state(generator_state)
        self._restore_noise(saved, tensors)
        run.skipped = saved.skipped
        self.training.state = replace(state, steps=saved.steps, skipped=saved.skipped)

    def _restore_noise(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        """Go on with the noise of the file; with other noise in another number of processes."""
        noise = self.training.noise
        if saved.processes == world_size():
            if noise is not None:
                noise.states = list(group_of(tensors, f"noise of {rank()}").values())
            return
        options = self.training.options
        self.training.noise = own_noise(
            options.seed, self._device(), len(saved.history)
        )
        if noise is None:
            for generator in generators(self._device()):
                generator.manual_seed(seed_of_rank(options.seed, len(saved.history)))

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
