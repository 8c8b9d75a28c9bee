"""A run on disk while it goes on: all that changes from epoch to epoch, so that it can go on after
it was killed.
"""

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pyro_vae.atomic_files import require_permission, written_whole
from pyro_vae.data import Rows
from pyro_vae.data.loaders import LoaderRows
from pyro_vae.distributed.process_group import world_size
from pyro_vae.rng import generators, row_hash
from pyro_vae.training.run import Run
from pyro_vae.training.train_step import State

FORMAT = 1
SECONDS = 10.0
"""Between two writings of a file, at least; the last epoch is always written."""
FREE = ("device", "compile")
"""Options that another part of the same run may have."""
LENGTH = ("epochs", "min_steps")
"""Options by which a run may be made longer."""


class Unfinished:
    """One file with weights, best weights, averages, optimizer, random numbers and history, written
    after epochs.

    Another model, other options and other rows are told; what a function of the user's computes is
    not.

    Arguments:
        path: the file; no pickle is in it, and no data.
        run: what is kept; its model has the weights.
        order: draws the order of the rows.
        train, valid, weights: the rows, by which another run is told, and the weights of the
            training rows.

    Raises:
        ValueError: several processes.
    """

    def __init__(
        self,
        path: Path,
        run: Run,
        order: torch.Generator,
        train: Rows,
        valid: Rows | None,
        weights: Rows | None = None,
    ) -> None:
        if world_size() > 1:
            raise ValueError(f"checkpoint: expected one process, got {world_size()}; leave it out")
        self.path, self.run, self.order, self.written = path, run, order, time.monotonic()
        first = 0 if isinstance(train, LoaderRows) else row_hash(next(train.batches(16)))
        self.rows = [train.steps(1), 0 if valid is None else valid.steps(1), first]
        if weights is not None:
            self.rows.append(row_hash(torch.cat(list(weights.batches(4096)))))

    def write(self, state: State, last: bool) -> None:
        """Write it, unless that was done a moment ago and it is not the last epoch."""
        if not last and time.monotonic() - self.written < SECONDS:
            return
        numbers, tensors = _kept(state)
        told = {
            "history": self.run.history,
            "best_epoch": self.run.best_epoch,
            "steps": state.steps,
        }
        text = json.dumps({"made_for": self._made_for(), "optimizer": numbers, **told})
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": self.run.vae.state_dict(),
            "best": self.run.best,
            "average": dict(_numbered(state.average.values if state.average else [])),
            "optimizer": tensors,
            "generator": dict(_numbered([one.get_state() for one in self._generators(state)])),
        }
        flat = {
            f"{group}.{name}": _own(value)
            for group, named in groups.items()
            for name, value in named.items()
        }
        self.written = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as draft:
                save_file(flat, draft, metadata={"pyro_vae": text})
        except (OSError, SafetensorError) as error:
            warnings.warn(
                f"fit: the checkpoint can't be written, and the run goes on without: {error}",
                stacklevel=2,
            )

    def read(self, state: State) -> State:
        """The state as the file has it; model, optimizer, averages, generators and history change
        in place.

        Raises:
            ValueError: the file is of another run, or damaged.
        """
        if not self.path.exists():
            return state
        told, tensors = self._read()
        self._require_same(told.get("made_for", {}))
        done, epochs = len(told.get("history", ())), self.run.options.epochs or 0
        if done > epochs:
            raise ValueError(
                f"{self.path}: holds a run of {done} epochs, and {epochs} are asked for; "
                f"take epochs={done} or more, or another file"
            )
        try:
            self._restore(state, told, tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"{self.path}: damaged, or of another model: {error}") from error
        return replace(state, steps=told["steps"])

    def _restore(self, state: State, told: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.run.vae.load_state_dict(_group(tensors, "model"))
        self.run.best = {
            name: value.to(self._device(state)) for name, value in _group(tensors, "best").items()
        }
        self.run.history, self.run.best_epoch = told["history"], told["best_epoch"]
        kept: dict[int, dict[str, Any]] = {
            int(index): dict(values) for index, values in told["optimizer"].items()
        }
        for name, value in _group(tensors, "optimizer").items():
            index, _, key = name.partition(".")
            kept[int(index)][key] = value
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": kept, "param_groups": groups})
        if state.average is not None:
            for name, value in _group(tensors, "average").items():
                state.average.values[int(name)].copy_(value)
        for name, value in _group(tensors, "generator").items():
            self._generators(state)[int(name)].set_state(value)

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            with safe_open(self.path, "pt") as file:
                return json.loads((file.metadata() or {})["pyro_vae"]), load_file(self.path)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            require_permission(self.path)
            raise ValueError(
                f"{self.path}: holds no unfinished run: {error}; choose another file"
            ) from error

    def _require_same(self, made_for: dict[str, Any]) -> None:
        own = self._made_for()
        others = [name for name in own if own[name] != made_for.get(name)]
        if others:
            name = others[0]
            raise ValueError(
                f"{self.path}: holds another run: {name} was {made_for.get(name)}, and is "
                f"{own[name]}; take what was taken there, or another file"
            )

    def _made_for(self) -> dict[str, Any]:
        """What a run must have to be the same: model, options, rows; as JSON has it."""
        options = self.run.options.model_dump(mode="json", exclude={*FREE, *LENGTH})
        made_for = {
            "format": FORMAT,
            "model": self.run.vae.spec.model_dump(mode="json"),
            "rows": self.rows,
            **options,
        }
        same: dict[str, Any] = json.loads(json.dumps(made_for))
        return same

    def _generators(self, state: State) -> list[torch.Generator]:
        return [self.order, *generators(self._device(state))]

    def _device(self, state: State) -> torch.device:
        return next(state.vae.parameters()).device


def _kept(state: State) -> tuple[dict[int, dict[str, Any]], dict[str, Tensor]]:
    """What the optimizer keeps: numbers by weight and name, and tensors by both in one name."""
    numbers: dict[int, dict[str, Any]] = {}
    tensors: dict[str, Tensor] = {}
    for index, values in state.optimizer.state_dict()["state"].items():
        numbers[index] = {
            key: value for key, value in values.items() if not isinstance(value, Tensor)
        }
        tensors |= {
            f"{index}.{key}": value for key, value in values.items() if isinstance(value, Tensor)
        }
    return numbers, tensors


def _numbered(tensors: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((str(index), tensor) for index, tensor in enumerate(tensors))


def _group(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    """The tensors whose names start with that of a group, without it."""
    return {
        name.partition(".")[2]: value
        for name, value in tensors.items()
        if name.partition(".")[0] == group
    }


def _own(tensor: Tensor) -> Tensor:
    """A copy on the CPU with memory of its own."""
    return tensor.detach().to("cpu", copy=True).contiguous()
