"""pyroVED: the epoch of its SVItrainer, without invariances."""

import sys
from types import ModuleType
from typing import Any

from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import Size
from benchmarks.speed.with_pyro import own_parameters

try:
    import torchvision as torchvision
except (
    RuntimeError
):  # built for another torch; pyroVED takes one function from it, for plots
    stand_in = ModuleType("torchvision.utils")
    stand_in.make_grid = None  # type: ignore[attr-defined]
    sys.modules.update(
        {"torchvision": ModuleType("torchvision"), "torchvision.utils": stand_in}
    )

import pyroved


def contestants(size: Size) -> dict[str, Run]:
    hidden = list(size.hidden_dims)
    state: dict[str, Any] = {}
    loader = pyroved.utils.init_dataloader(size.rows(), batch_size=size.batch_size)
    with own_parameters(state):
        vae = pyroved.models.iVAE(
            (size.data_dim,),
            size.latent_dim,
            hidden_dim_e=hidden,
            hidden_dim_d=hidden[::-1],
            device="cpu",
        )
        trainer = pyroved.trainers.SVItrainer(vae, device="cpu")

    def run() -> None:
        with own_parameters(state):
            trainer.step(loader)

    return {"pyroVED, SVItrainer": run}
