"""Python of the user is told from that of the libraries."""

import cProfile
import gc
import os
import pstats
import signal
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pyro_vae.compiler.foreign_code import ForeignCode, without_foreign_code
from pyro_vae.compiler.recorded_program import recorded_program
from pyro_vae.training.train_step import ScheduleValues


class Doubled(nn.Module):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Doubled.calls += 1
        return 2 * x


class _Doubtful:
    def __call__(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


X = torch.ones(1, 2)


def test_a_module_of_the_user_is_named_and_not_called() -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Doubled()))
    with pytest.raises(ForeignCode, match=r"test_foreign_code\.Doubled\.forward$"):
        without_foreign_code(partial(layers, X))
    assert Doubled.calls == 0


def test_so_is_the_backward_pass_of_a_function_of_the_user() -> None:
    x = X.clone().requires_grad_()
    x.register_hook(lambda slope: 2 * slope)
    loss = (x**2).sum()
    with pytest.raises(ForeignCode, match="<lambda>"):
        without_foreign_code(partial(torch.autograd.grad, loss, [x]))


def test_an_error_that_a_library_swallows_is_raised_at_the_end() -> None:
    with pytest.raises(ForeignCode, match="_Doubtful"):
        without_foreign_code(partial(recorded_program, _Doubtful(), [X]))


KNOWN: dict[str, Any] = {
    "modules of torch": partial(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), X),
    "einsum": partial(torch.einsum, "ij,ij,ij->i", X, X, X),
    "what Python makes of a NamedTuple": partial(ScheduleValues, 1.0, (1.0,)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_libraries_are_not_foreign(name: str) -> None:
    torch.testing.assert_close(without_foreign_code(KNOWN[name]), KNOWN[name]())


def test_a_profiler_that_was_there_is_there_again() -> None:
    def profiler(*given: object) -> None:
        pass

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        with pytest.raises(ZeroDivisionError):
            without_foreign_code(partial(divmod, 1, 0))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)


def test_so_is_that_of_python_itself() -> None:
    profile = cProfile.Profile()
    profile.enable()
    without_foreign_code(partial(divmod, 7, 2))
    torch.zeros(1).cpu().tolist()
    sorted([3, 1], key=abs)
    profile.disable()
    names = {name for _, _, name in pstats.Stats(profile).stats}  # type: ignore[attr-defined]
    assert "<built-in method builtins.sorted>" in names


def test_a_signal_waits_for_the_end_and_is_not_lost() -> None:
    got = []
    former = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
    try:
        without_foreign_code(partial(os.kill, os.getpid(), signal.SIGUSR1))
        assert got == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_garbage_of_others_is_not_collected_meanwhile() -> None:
    assert gc.isenabled()
    assert not without_foreign_code(gc.isenabled)
    assert gc.isenabled()
