"""Saved models whose modules were wrapped or whose class was the user's own, and what `load` says
of them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import pyro_vae as pv

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
)
X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))


def network(size: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(size, 8), nn.ReLU(), nn.Linear(8, 4))


def wrapped(module: nn.Module) -> Any:
    """What torch.compile gives: nothing is compiled before it is called."""
    return torch.compile(module, backend="eager")


def small(**fields: Any) -> pv.VAE:
    return pv.VAE(
        **{"data_shape": (4,), "latent_dim": 2, "hidden_dims": (8,), **fields}
    )


def trained(vae: pv.VAE) -> pv.VAE:
    pv.fit(vae, X, epochs=1, progress=False)
    return vae


@pytest.mark.slow
@pytest.mark.parametrize(
    "saved", [wrapped, lambda module: module], ids=["compiled", "plain"]
)
@pytest.mark.parametrize(
    "loaded", [wrapped, lambda module: module], ids=["compiled", "plain"]
)
@pytest.mark.parametrize("slot", ["encoder", "decoder"])
def test_a_compiled_part_is_the_part(
    saved: Any, loaded: Any, slot: str, tmp_path: Path
) -> None:
    size = 4 if slot == "encoder" else 2
    vae = trained(small(**{slot: saved(network(size))}))
    assert vae.spec.custom() == {slot: "torch.nn.modules.container.Sequential"}
    pv.save(vae, tmp_path / "run")
    assert not any(
        "_orig_mod" in name
        for name in safetensors.torch.load_file(tmp_path / "run" / "model.safetensors")
    )
    again = pv.load(tmp_path / "run", **{slot: loaded(network(size))})
    torch.testing.assert_close(again.posterior(X).mean, vae.posterior(X).mean)
    torch.testing.assert_close(
        again.likelihood(X[:, :2]).mean, vae.likelihood(X[:, :2]).mean
    )


def test_a_network_that_was_compiled_after_the_model_was_made(tmp_path: Path) -> None:
    vae = trained(small())
    expected = vae.posterior(X).mean
    vae.posterior.encoder = wrapped(vae.posterior.encoder)
    pv.save(vae, tmp_path / "run")
    torch.testing.assert_close(pv.load(tmp_path / "run").posterior(X).mean, expected)


def test_weights_that_were_saved_under_wrapped_names(tmp_path: Path) -> None:
    """As files from before this rule hold them."""
    vae = trained(small(encoder=network()))
    pv.save(vae, tmp_path / "run")
    file = tmp_path / "run" / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    renamed = {
        name.replace("encoder.", "encoder._orig_mod."): value
        for name, value in weights.items()
    }
    safetensors.torch.save_file(renamed, file)
    spec = json.loads((tmp_path / "run" / "spec.json").read_text())
    (tmp_path / "run" / "spec.json").write_text(json.dumps(spec | {"format": 1}))
    torch.testing.assert_close(
        pv.load(tmp_path / "run", encoder=network()).posterior(X).mean,
        vae.posterior(X).mean,
    )


class WithHead(pv.VAE):
    """A model with a classifier on its codes."""

    def __init__(self, classes: int, **fields: Any) -> None:
        super().__init__(**fields)
        self.head = nn.Linear(self.spec.latent_dim, classes)

    def classify(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.posterior(x).mean)
        return scores


def test_a_subclass_is_named_and_the_remedy_works(tmp_path: Path) -> None:
    vae = WithHead(3, data_shape=(4,), latent_dim=2)
    pv.save(vae, tmp_path / "run")
    message = (
        f"holds a {__name__}.WithHead, a subclass of VAE with weights of its own; make it and read "
        "its weights"
    )
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        pv.load(tmp_path / "run")
    remedy = (
        str(error.value)
        .partition("its weights: ")[2]
        .replace("(...)", "(3, data_shape=(4,), latent_dim=2, seed=1)")
    )
    names: dict[str, Any] = {"WithHead": WithHead, "safetensors": safetensors}
    exec(remedy, names)
    assert torch.equal(names["vae"].classify(X), vae.classify(X))


class Renamed(pv.VAE):
    """A subclass without weights of its own is read as what it is a subclass of."""


def test_a_subclass_without_weights_of_its_own_loads(tmp_path: Path) -> None:
    vae = Renamed(data_shape=(4,), latent_dim=2)
    pv.save(vae, tmp_path / "run")
    assert torch.equal(
        pv.load(tmp_path / "run").posterior(X).mean, vae.posterior(X).mean
    )
