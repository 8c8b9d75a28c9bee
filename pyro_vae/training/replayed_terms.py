"""The terms of validation rows, recorded once and computed again without the Python around them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiler.foreign_code import where_allowed
from pyro_vae.compiler.program import Program, Run
from pyro_vae.compiler.recorded_program import recorded_program
from pyro_vae.compiler.same_numbers import same_numbers
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.objectives import Terms
from pyro_vae.training.compiled_graph import signature
from pyro_vae.training.steps_of_tensors import Slot, TermsOfTensors, other_numbers
from pyro_vae.training.train_step import State

TermsFunction = Callable[[State, Tensor, float], Terms]
WORTH_RECORDING = 40
"""Calls after which recording, which takes as long as 13 to 26, is likely to pay: a replayed one
saves 70 % of a small net's, and a third of that of 784-200-200-50."""
MOST_KINDS = 4
"""Shapes of batches that are recorded, such as that of all and that of the last one."""


def eager_terms(state: State, rows: Tensor, beta: float) -> Terms:
    """The terms of some rows, by the Python of the model."""
    return state.terms(rows, beta)


@dataclass
class Kind:
    """Calls that differ in numbers only.

    Attributes:
        made: calls so far.
        slots: where the tensors are that the record reads.
        kl: of the terms.
        run: computes them again, once they are recorded.
    """

    made: int = 0
    slots: tuple[Slot, ...] = ()
    kl: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None


class ReplayedTerms:
    """`eager_terms` without gradients, which are recorded after 40 calls, as steps are.

    They are the same to the last bit. What can't be recorded stays eager.

    Arguments:
        with_foreign_code: whether Python that isn't of this library is left out too.
    """

    def __init__(self, with_foreign_code: bool = False) -> None:
        self.with_foreign_code = with_foreign_code
        self.kinds: dict[Any, Kind] = {}

    def __call__(self, state: State, rows: Tensor, beta: float) -> Terms:
        key = (beta, *signature(state, rows))
        kind = self.kinds.setdefault(key, Kind())
        kind.made += 1
        if kind.run is not None:
            return self._again(kind, state, rows, beta)
        if kind.made == WORTH_RECORDING and len(self.kinds) <= MOST_KINDS:
            return self._recorded(kind, state, rows, beta)
        return eager_terms(state, rows, beta)

    def _again(self, kind: Kind, state: State, rows: Tensor, beta: float) -> Terms:
        assert kind.run is not None
        noise = torch.get_rng_state()
        try:
            rate, distortion, loss = kind.run(*_tensors(kind.slots), rows)
        except RuntimeError:  # such as that of a matrix that isn't positive definite
            torch.set_rng_state(noise)
            return eager_terms(state, rows, beta)
        return Terms(rate, distortion, kind.kl, loss)

    def _recorded(self, kind: Kind, state: State, rows: Tensor, beta: float) -> Terms:
        """The eager terms, which are recorded, and compared with what the record gives."""
        function = TermsOfTensors(state, beta)
        slots = tuple(function.slots)
        inputs = [*_tensors(slots), rows]
        program = self._program(function, inputs)
        if program is None:
            return eager_terms(state, rows, beta)
        run = program.in_torchscript([one.detach().clone() for one in inputs])
        copies = [one.detach().clone() for one in inputs]
        try:
            with torch.random.fork_rng([]):
                tried = run(*copies)
                noise = torch.get_rng_state()
        except RuntimeError:  # which the eager terms may raise too, as it should be
            return eager_terms(state, rows, beta)
        terms = eager_terms(state, rows, beta)
        is_same = torch.equal(noise, torch.get_rng_state())
        numbers = (terms.rate, terms.distortion, terms.loss)
        now = [*_tensors(slots), rows]  # the call may have replaced a buffer
        pairs = [*zip(tried, numbers, strict=True), *zip(copies, now, strict=True)]
        if is_same and all(same_numbers(*pair) for pair in pairs):
            kind.slots = slots
            kind.kl = terms.kl
            kind.run = run
        return terms

    def _program(
        self, function: TermsOfTensors, inputs: list[Tensor]
    ) -> Program | None:
        """The program of the terms, where there is one that may be used."""
        others = [*other_numbers(inputs[:-1]), inputs[-1].roll(1, 0)]
        record = partial(recorded_program, function, inputs, others)
        with unvalidated():
            return where_allowed(record, self.with_foreign_code)


def _tensors(slots: tuple[Slot, ...]) -> list[Tensor]:
    return [container[key] for container, key in slots]
