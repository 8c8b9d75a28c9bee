"""Python of the user is told from that of the libraries."""

import cProfile
import gc
import importlib
import math
import os
import pstats
import signal
import statistics
import sys
import threading
import time
from functools import partial, wraps
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import Mock

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


def test_a_file_of_the_user_may_have_the_name_of_a_module_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("def double(x): return 2 * x")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "queue", raising=False)
    own: Any = importlib.import_module("queue")
    with pytest.raises(ForeignCode, match=r"queue\.double"):
        without_foreign_code(partial(own.double, 1))


def test_a_mock_counts_its_calls() -> None:
    mock = Mock(wraps=abs)
    with pytest.raises(ForeignCode, match=r"unittest\.mock"):
        without_foreign_code(partial(mock, -1))


def test_of_code_without_a_module_nothing_is_known() -> None:
    names: dict[str, Any] = {}
    exec("def double(x): return 2 * x", names)
    with pytest.raises(ForeignCode, match="double"):
        without_foreign_code(partial(names["double"], 1))


def test_a_function_that_wraps_another_one_is_known_by_its_own_code() -> None:
    @wraps(math.gcd)
    def own(*numbers: int) -> int:
        return math.gcd(*numbers)

    with pytest.raises(ForeignCode, match="own"):
        without_foreign_code(partial(own, 12, 18))


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


def test_so_does_one_that_another_thread_gets() -> None:
    got = []
    former = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    kill = map(os.kill, [os.getpid()], [signal.SIGUSR1])
    work = chain(map(time.sleep, [0.1]), map(statistics.mean, [range(100)]))
    try:
        without_foreign_code(partial(list, chain(kill, work)))
        assert got == [signal.SIGUSR1]
    finally:
        end.set()
        other.join()
        signal.signal(signal.SIGUSR1, former)


def test_an_interrupt_comes_after_the_block() -> None:
    done = []
    kill = map(os.kill, [os.getpid()], [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        without_foreign_code(partial(done.extend, chain(kill, map(abs, [-1]))))
    assert done == [None, 1]


def test_garbage_of_others_is_not_collected_meanwhile() -> None:
    assert gc.isenabled()
    assert not without_foreign_code(gc.isenabled)
    assert gc.isenabled()
