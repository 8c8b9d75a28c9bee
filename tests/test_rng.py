"""Random numbers of our own leave the caller's alone."""

import itertools

import pytest
import torch
from torch import Tensor

from pyro_vae.rng import own_seed


def draws(seed: int) -> Tensor:
    with own_seed(seed):
        return torch.randn(4)


def draw_and_raise() -> None:
    with own_seed(1):
        torch.randn(4)
        raise KeyError("inside")


def test_one_seed_gives_one_sequence() -> None:
    assert torch.equal(draws(3), draws(3))
    assert not torch.equal(draws(3), draws(4))
    assert torch.equal(
        draws(3), torch.randn(4, generator=torch.Generator().manual_seed(3))
    )


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
def test_any_seed(seed: int) -> None:
    assert draws(seed).isfinite().all()


def test_the_callers_sequence_goes_on() -> None:
    torch.manual_seed(0)
    expected = torch.randn(8)
    torch.manual_seed(0)
    first = torch.randn(4)
    draws(5)
    assert torch.equal(torch.cat([first, torch.randn(4)]), expected)


def test_also_when_the_block_raises() -> None:
    before = torch.get_rng_state()
    with pytest.raises(KeyError, match="inside"):
        draw_and_raise()
    assert torch.equal(torch.get_rng_state(), before)


def test_also_when_the_block_sets_a_seed() -> None:
    before = torch.get_rng_state()
    with own_seed(1):
        torch.manual_seed(99)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_block_inside_a_block() -> None:
    with own_seed(1):
        expected = torch.randn(8)
    with own_seed(1):
        first = torch.randn(4)
        inner = draws(2)
        second = torch.randn(4)
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(inner, draws(2))


def test_a_loop_of_blocks_does_not_repeat_itself_outside() -> None:
    torch.manual_seed(0)
    outside = []
    for _ in range(3):
        draws(7)
        outside.append(torch.randn(4))
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(outside, 2))


@pytest.mark.parametrize(
    ("device", "index"), [("cuda", 1), ("cuda:0", 0), ("cuda:1", 1)]
)
def test_it_takes_the_generator_of_the_device(
    monkeypatch: pytest.MonkeyPatch, device: str, index: int
) -> None:
    """`cuda` is the current device, the second of two; CPU generators stand in for theirs."""
    generators = torch.Generator().manual_seed(10), torch.Generator().manual_seed(11)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    monkeypatch.setattr(torch.cuda.random, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda.random, "_lazy_call", lambda call, **options: call())
    monkeypatch.setattr(torch.cuda.random, "current_device", lambda: 1)
    before = [generator.get_state() for generator in generators]
    with own_seed(3, device):
        assert [generator.initial_seed() == 3 for generator in generators] == [
            index == 0,
            index == 1,
        ]
        torch.randn(4, generator=generators[index])
    after = [generator.get_state() for generator in generators]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.gpu
def test_on_a_cuda_device() -> None:
    before = torch.cuda.get_rng_state()
    with own_seed(3, "cuda"):
        first = torch.randn(4, device="cuda")
    with own_seed(3, "cuda"):
        again = torch.randn(4, device="cuda")
    assert torch.equal(first, again)
    assert torch.equal(torch.cuda.get_rng_state(), before)
