"""The step by torch's kernel alone is the step of torch, and short runs import no compiler."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from pyro_vae.training.fused_adam import take_step, without_compiler

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "betas and eps": {"betas": (0.5, 0.9), "eps": 0.1},
    "weight decay": {"weight_decay": 0.1},
    "maximize": {"maximize": True},
    "amsgrad": {"amsgrad": True},
    "not fused": {"fused": False},
    "another": {"foreach": True, "fused": None},
}
IMPORTS = """
import sys
import pyro_vae as pv
x = pv.data.load("digits")[:200]
vae = pv.VAE(data_shape=(64,), latent_dim=2, likelihood={"kind": "binomial", "total_count": 16})
pv.fit(vae, x, epochs=1, progress=False, checkpoint=sys.argv[1])
print("torch._dynamo" in sys.modules)
"""


def optimizer_of(kind: type[Optimizer], options: dict[str, Any]) -> Optimizer:
    """Over two groups of a small net, with one weight that never has a gradient."""
    torch.manual_seed(0)
    first = nn.Linear(3, 4)
    second = nn.Linear(4, 2)
    groups = [
        {"params": [*first.parameters(), nn.Parameter(torch.ones(2))]},
        {"params": second.parameters(), "lr": 0.3},
    ]
    return kind(groups, **{"lr": 0.1, "fused": True, **options})


def set_gradients(optimizer: Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.shape != (2,) or group["lr"] == 0.3:
                weight.grad = torch.randn(weight.shape, generator=generator)


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_steps_are_those_of_torch(
    kind: type[Optimizer], options: dict[str, Any]
) -> None:
    """Bit for bit, with the same state afterwards; the learning rate changes on the way."""
    ours = optimizer_of(kind, options)
    theirs = optimizer_of(kind, options)
    for seed in range(5):
        for optimizer in (ours, theirs):
            set_gradients(optimizer, seed)
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + seed)
        take_step(ours)
        theirs.step()
    expected = theirs.state_dict()
    found = ours.state_dict()
    assert found["param_groups"] == expected["param_groups"]
    torch.testing.assert_close(found["state"], expected["state"], rtol=0, atol=0)
    for mine, its in zip(ours.param_groups, theirs.param_groups, strict=True):
        torch.testing.assert_close(mine["params"], its["params"], rtol=0, atol=0)


def test_an_optimizer_of_the_user_is_called() -> None:
    called = []

    class Own(Adam):
        def step(self, closure: Any = None) -> None:
            called.append(self)

    optimizer = optimizer_of(Own, {})
    take_step(optimizer)
    assert called == [optimizer]


def test_a_step_that_was_put_on_the_optimizer_is_called() -> None:
    """As by a wrapper, or by torch's learning rate schedulers."""
    optimizer = optimizer_of(Adam, {})
    called = []
    optimizer.step = lambda: called.append(optimizer)  # type: ignore[method-assign]
    take_step(optimizer)
    assert called == [optimizer]


def test_a_short_run_imports_no_compiler(tmp_path: Any) -> None:
    """It is 800 modules, one second and 70 MB; a run with checkpoints needs none of them."""
    run = [sys.executable, "-W", "ignore", "-c", IMPORTS, str(tmp_path / "checkpoint")]
    found = subprocess.run(run, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]


def test_nothing_of_torch_is_changed_afterwards() -> None:
    functions = [
        getattr(Optimizer, name).__wrapped__
        for name in ("add_param_group", "state_dict", "load_state_dict")
    ]
    before = [dict(vars(function)) for function in functions]
    with without_compiler():
        optimizer_of(Adam, {})
    assert [vars(function) for function in functions] == before
