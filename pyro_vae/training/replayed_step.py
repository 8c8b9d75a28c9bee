"""Steps whose operations are recorded once, and then made again without the Python around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any

from torch import Tensor

from pyro_vae.compiler.foreign_code import where_allowed
from pyro_vae.training.compiled_graph import signature
from pyro_vae.training.epoch import StepsFunction
from pyro_vae.training.replay import Replay
from pyro_vae.training.replayed_terms import MOST_KINDS
from pyro_vae.training.train_step import (
    Info,
    ScheduleValues,
    State,
    step,
    steps,
    weights_of,
    with_schedule_values,
)
from pyro_vae.training.update import Update

WORTH_RECORDING = 48
"""Eager steps after which recording is likely to pay: it takes as long as 15 to 30 more (27 for a
net of 64-64-2, 16 for 784-200-200-50, 21 with a flow as prior), of which a replayed one saves 70,
30 and 40 %. A look at what is recorded takes nearly as long."""


@dataclass
class Kind:
    """Steps that differ in numbers only.

    Attributes:
        made: steps so far.
        since: steps since the last look at what they do.
        replay: makes them, once they are recorded.
        is_open: whether they may still be recorded.
        is_doubtful: whether they may do something else now.
    """

    made: int = 0
    since: int = 0
    replay: Replay | None = None
    is_open: bool = True
    is_doubtful: bool = False

    def close(self) -> None:
        """From here on the steps are eager."""
        self.replay = None
        self.is_open = False


class ReplayedSteps:
    """Steps that are eager at first and then replayed, with the same numbers to the last bit.

    The operations of a step are recorded from the handlers of Pyro to the gradient, and made again
    in their order: the Python that led to them takes two thirds of a step of a small model. Nothing
    is compiled, which takes seconds: recording takes a tenth of one, with a deep flow three
    tenths. A step that can't be recorded, or that has other numbers when it is replayed for the
    first time, stays eager.

    A step is recorded for each shape of batches, when 48 of them were made. What a function of the
    user may have changed since is found after `look_again`.

    Arguments:
        with_foreign_code: whether Python that isn't of this library is left out too, such as a
            decoder of one's own: right where it does the same each time, and nothing else.
        otherwise: makes all steps from the one on that can't be recorded.
    """

    def __init__(
        self, with_foreign_code: bool = False, otherwise: StepsFunction = steps
    ) -> None:
        self.with_foreign_code = with_foreign_code
        self.otherwise = otherwise
        self.kinds: dict[Any, Kind] = {}
        self.update: Update | None = None
        self.instead: StepsFunction | None = None

    def steps(
        self,
        state: State,
        batches: Tensor,
        schedule: Sequence[ScheduleValues],
    ) -> tuple[State, Tensor]:
        """A step for each of several batches, as `steps`."""
        if self.instead is not None:
            return self.instead(state, batches, schedule)
        kind = self._kind(state, batches[0])
        if kind.is_doubtful:
            self._look(kind, state, batches[0])
        kind.made += len(batches)
        kind.since += len(batches)
        replay = kind.replay
        if replay is not None and replay.fits(schedule) and self._takes(state, replay):
            assert self.update is not None
            return replay.steps(state, batches, schedule, self.update)
        if kind.is_open and kind.made > WORTH_RECORDING:
            return self._recorded(kind, state, batches, schedule)
        return steps(state, batches, schedule)

    def look_again(self) -> None:
        """Compare the next step of each kind with what was recorded.

        It takes as long as some steps: where fewer than 48 were made since, they are eager from
        there on. The optimizer may have other moments or hooks now.
        """
        self.update = None
        for kind in self.kinds.values():
            kind.is_doubtful = True

    def stop(self) -> None:
        """Make every step from here on as `steps` does."""
        self.instead = steps

    def _kind(self, state: State, batch: Tensor) -> Kind:
        weights = weights_of(state.optimizer)
        moves = [weight.requires_grad for weight in weights]
        hooked = [bool(weight._backward_hooks) for weight in weights]
        key = (*moves, *hooked, *signature(state, batch))
        if key not in self.kinds:
            self.kinds[key] = Kind(is_open=len(self.kinds) < MOST_KINDS)
        return self.kinds[key]

    def _look(self, kind: Kind, state: State, batch: Tensor) -> None:
        """Give up a record that isn't true any more, or isn't worth looking at so often."""
        is_rare = kind.since >= WORTH_RECORDING
        is_changed = kind.replay is not None and not (
            is_rare and self._is_same(kind.replay, state, batch)
        )
        if is_changed or not is_rare:
            kind.close()
        kind.is_doubtful = False
        kind.since = 0

    def _is_same(self, replay: Replay, state: State, batch: Tensor) -> bool:
        """Whether the step is still the one that was recorded."""
        now = self._replay(state, batch)
        return now is not None and replay.same_as(now)

    def _recorded(
        self,
        kind: Kind,
        state: State,
        batches: Tensor,
        schedule: Sequence[ScheduleValues],
    ) -> tuple[State, Tensor]:
        """Eager steps, of which the first is recorded, and compared with what the record makes."""
        state = with_schedule_values(state, schedule[0])
        kind.close()
        replay = self._replay(state, batches[0])
        if replay is None or not self._takes(state, replay):
            self._refuse()
            return (self.instead or steps)(state, batches, schedule)

        def compared(state: State, batch: Tensor) -> tuple[State, Info]:
            tried = replay.trial(state, batch)
            state, info = step(state, batch)
            if tried is not None and replay.agrees(tried, state, info):
                kind.replay = replay
            else:
                self._refuse()
            return state, info

        makers = chain([compared], repeat(step))
        return steps(state, batches, schedule, lambda *given: next(makers)(*given))

    def _refuse(self) -> None:
        """Make all steps otherwise: a compiled one keeps the optimizer's counts in a tensor too."""
        if self.otherwise is not steps:
            self.instead = self.otherwise

    def _replay(self, state: State, batch: Tensor) -> Replay | None:
        """The record of a step, where there is one that may be used."""
        replay = where_allowed(partial(Replay, state, batch), self.with_foreign_code)
        return None if replay is None or replay.program is None else replay

    def _takes(self, state: State, replay: Replay) -> bool:
        """Whether the weights that a step reaches are those of the others, whose update is one."""
        if self.update is None:
            self.update = Update(state, replay.reached)
        reached = [id(weight) for weight in replay.reached]
        return reached == [id(weight) for weight in self.update.weights]
