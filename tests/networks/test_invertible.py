"""Invertible maps: their inverses and determinants, zuko's flows as an oracle, and their names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from pyro_vae import VAE, Spec
from pyro_vae.guides import Flow as FlowGuide
from pyro_vae.networks.invertible import (
    FORMER_NAMES,
    ConditionalTransforms,
    import_zuko,
    masked_transforms,
    start_at_identity,
)
from pyro_vae.priors import Flow as FlowPrior

DIM = 5
CONTEXT = 3
PASSES = {"autoregressive": DIM, "coupling": 2, "spline": 2}
every_transform = pytest.mark.parametrize("name", PASSES)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def transforms(name: Any) -> ConditionalTransforms:
    torch.manual_seed(0)
    return ConditionalTransforms(DIM, CONTEXT, name, 2, (8,)).double()


@every_transform
def test_the_determinant_is_that_of_autograd(name: str) -> None:
    network = transforms(name)
    context = noise(CONTEXT, seed=1)
    for value in noise(4, DIM):
        _, log_det = network(context, value)
        matrix = jacobian(lambda value: network(context, value)[0], value)
        torch.testing.assert_close(log_det, torch.linalg.slogdet(matrix).logabsdet)


@every_transform
def test_the_inverse_is_the_inverse(name: str) -> None:
    network = transforms(name)
    assert network.passes == PASSES[name]
    context = noise(6, CONTEXT, seed=1)
    value = noise(6, DIM)
    moved, log_det = network(context, value)
    back, log_det_back = network(context, moved, inverse=True)
    assert not torch.allclose(moved, value, atol=0.01)
    torch.testing.assert_close(back, value)
    torch.testing.assert_close(log_det_back, -log_det)


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("spline", [False, True])
def test_zuko_makes_the_same_flow(spline: bool, dim: int) -> None:
    flows = import_zuko().flows
    make = flows.NSF if spline else flows.MAF
    torch.manual_seed(3)
    expected = make(dim, transforms=3, hidden_features=(6,), activation=nn.SiLU)
    torch.manual_seed(3)
    got = masked_transforms(
        dim, 0, spline=spline, passes=dim, count=3, hidden_dims=(6,)
    )
    value = noise(7, dim).float()
    log_det = torch.zeros(7)
    moved = value
    for layer in got:
        moved, change = layer().call_and_ladj(moved)
        log_det = log_det + change
    torch.testing.assert_close(moved, expected.transform()(value))
    torch.testing.assert_close(
        log_det, expected.transform().log_abs_det_jacobian(value, moved)
    )


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("spline", [False, True])
def test_the_start_is_the_identity(spline: bool, dim: int) -> None:
    (layer,) = masked_transforms(
        dim, 0, spline=spline, passes=dim, count=1, hidden_dims=(6,)
    )
    value = noise(7, dim).float()
    assert not torch.allclose(layer()(value), value)
    start_at_identity(layer)
    torch.testing.assert_close(layer()(value), value)


# Names


def refused(old: str) -> Any:
    return pytest.raises(
        ValueError, match=rf"'{old}' is now called '{FORMER_NAMES[old]}'$"
    )


@pytest.mark.parametrize("old", FORMER_NAMES)
@pytest.mark.parametrize("slot", ["prior", "guide"])
def test_an_old_name_is_refused_with_the_new_one(
    old: str, slot: str, tmp_path: Path
) -> None:
    table = {"kind": "flow", "transform": old}
    with refused(old) as error:
        Spec(data_shape=(4,), **{slot: table})
    assert str(error.value).startswith(f"{slot}.flow.transform: transform ")
    file = tmp_path / "spec.toml"
    text = f'data_shape = [4]\n[{slot}]\nkind = "flow"\ntransform = "{old}"\n'
    file.write_text(text, encoding="utf-8")
    with refused(old):
        VAE.from_spec(file)


@pytest.mark.parametrize("old", FORMER_NAMES)
def test_the_classes_refuse_it_too(old: Any) -> None:
    with refused(old):
        FlowPrior(2, transform=old)
    with refused(old):
        FlowGuide(4, 2, transform=old)


def test_both_rooms_have_the_same_names() -> None:
    for name in PASSES:
        table = {"kind": "flow", "transform": name}
        vae = VAE(
            data_shape=(4,), latent_dim=2, prior=table, guide=table, hidden_dims=(6,)
        )
        assert name in str(vae.prior)
        assert name in vae.posterior.family.extra_repr()
