"""Numbers that a change of names and places leaves as they are, with all their digits.

    python -m benchmarks.house.same_numbers > before.txt    # and > after.txt on another commit
    diff before.txt after.txt

Seeds are fixed and one thread computes, so that two runs print the same. The file also runs by
itself, with any checkout first on PYTHONPATH. Of an option's two names the known one is taken.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

import pyro_vae as pv
from pyro_vae.training import FitOptions

Number = tuple[str, float]
STEPS = 50
BATCH = 16
RENAMED = {
    "ema_decay": "average",
    "kl_warmup_epochs": "annealing",
    "kl_cycles": "cycles",
}
PRIOR_FLOWS = {"coupling": "realnvp", "autoregressive": "maf", "spline": "nsf"}
GUIDE_FLOWS = {"coupling": "coupling", "autoregressive": "iaf", "spline": "spline"}

BERNOULLI: dict[str, Any] = {"prior": "standard_normal", "likelihood": "bernoulli"}
NORMAL: dict[str, Any] = {
    "prior": {"kind": "vamp", "pseudo_inputs": 10},
    "likelihood": "normal",
}
BINOMIAL: dict[str, Any] = {
    "prior": {"kind": "hierarchical", "top_dim": 2},
    "likelihood": {"kind": "binomial", "total_count": 16},
    "guide": {"kind": "flow"},
}


def digits(likelihood: Any) -> torch.Tensor:
    """The bundled digits, as bits, as numbers between 0 and 1, or as counts."""
    counts = np.asarray(pv.data.load("digits"), np.float32)
    if likelihood == "bernoulli":
        return torch.as_tensor((counts > 8).astype(np.float32))
    return torch.as_tensor(counts / 16 if likelihood == "normal" else counts)


def model(fields: Any) -> Any:
    return pv.VAE(data_shape=(64,), latent_dim=4, hidden_dims=(32,), seed=0, **fields)


def fitted(fields: dict[str, Any], **options: Any) -> Any:
    """The run of 50 steps in five epochs."""
    known = FitOptions.model_fields
    named = {
        name if name in known else RENAMED[name]: value
        for name, value in options.items()
    }
    rows = digits(fields["likelihood"])[: STEPS * BATCH // 5]
    fixed = {
        "epochs": 5,
        "batch_size": BATCH,
        "lr": 1e-3,
        "seed": 0,
        "validation": None,
    }
    return pv.fit(
        model(fields), rows, progress=False, **(fixed | {"compile": "off"} | named)
    )


def of_run(name: str, run: Any) -> Iterator[Number]:
    """The last loss and ELBO, and two sums of all weights that don't depend on their order."""
    last = run.history[-1]
    yield f"{name}, loss", last["loss"]
    yield f"{name}, elbo", last["elbo"]
    weights = parameters_to_vector(run.vae.parameters()).tolist()
    yield f"{name}, sum of the weights", math.fsum(weights)
    yield (
        f"{name}, sum of their squares",
        math.fsum(weight * weight for weight in weights),
    )


def training() -> Iterator[Number]:
    """50 eager steps of three models, and of one with all that changes over a run."""
    models = {
        "bernoulli": BERNOULLI,
        "vamp, normal": NORMAL,
        "flow, binomial": BINOMIAL,
    }
    for name, fields in models.items():
        yield from of_run(f"50 steps of {name}", fitted(fields))
    changing = {
        "ema_decay": 0.9,
        "kl_warmup_epochs": 4,
        "kl_cycles": 2,
        "clip_norm": 5.0,
    }
    run = fitted(BERNOULLI, optimizer="adamw", **changing)
    yield from of_run("50 steps with averages, warm-up, clipping", run)


def compiled() -> Iterator[Number]:
    """20 steps of the compiled step; its first one is eager."""
    run = fitted(BERNOULLI, epochs=2, compile="step", ema_decay=0.9)
    yield from of_run("20 compiled steps", run)


def of_rows(name: str, values: Iterable[Any]) -> Iterator[Number]:
    """The mean of the rows, and each of the first five."""
    numbers = [float(value) for value in values]
    yield f"{name}, mean of {len(numbers)} rows", math.fsum(numbers) / len(numbers)
    for row, number in enumerate(numbers[:5]):
        yield f"{name}, row {row}", number


def questions() -> Iterator[Number]:
    """log p(x) by importance sampling and by annealing, and the inference gaps, after 50 steps."""
    x = digits("binomial")[800:850]
    plain = fitted({"likelihood": BINOMIAL["likelihood"]}).vae
    for name, vae in {"mean field": plain, "flow guide": fitted(BINOMIAL).vae}.items():
        yield from of_rows(
            f"evidence, {name}", pv.evidence(vae, x, num_particles=200).log_marginal
        )
        by_guide = pv.evidence(vae, x, num_particles=200, proposal="guide")
        yield from of_rows(f"evidence by the guide, {name}", by_guide.log_marginal)
    annealed = pv.annealed(plain, x[:8], num_chains=4, temperatures=50)
    yield from of_rows("annealed log p(x)", annealed.log_marginal)
    gaps = pv.inference_gaps(plain, x[:8], steps=40, num_particles=100)
    yield from of_rows("approximation gap", gaps.approximation_gap)
    yield from of_rows("amortization gap", gaps.amortization_gap)


def with_known_name(make: Callable[[str], Any], names: Iterable[str]) -> Any:
    """What `make` gives for the first of the names that it takes."""
    for name in names:
        try:
            return make(name)
        except ValueError as error:
            refused = error
    raise refused


def flow(slot: str, transform: str) -> Any:
    """A model with a flow as prior or guide, its weights moved from where they do nothing."""
    vae = model(
        {"likelihood": "normal", slot: {"kind": "flow", "transform": transform}}
    )
    with torch.no_grad():
        for weight in vae.parameters():
            weight += 0.1 * torch.arange(weight.numel()).sin().reshape(weight.shape)
    return vae


def flows() -> Iterator[Number]:
    """Densities of flows at fixed z, as priors and as guides."""
    z = torch.linspace(-1, 1, 20).reshape(5, 4)
    x = digits("normal")[:5]
    for slot, vocabulary in (("prior", PRIOR_FLOWS), ("guide", GUIDE_FLOWS)):
        for names in vocabulary.items():
            vae = with_known_name(partial(flow, slot), names)
            with torch.no_grad():
                density = (
                    vae.prior() if slot == "prior" else vae.posterior(x)
                ).log_prob(z)
            yield from of_rows(f"log density of the flow {slot}, {names[0]}", density)


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings(
        "ignore", message="fit: the (validation|training) .* below independent"
    )
    for part in (training, compiled, questions, flows):
        for name, number in part():
            print(f"{name:<76}{number!r}", flush=True)


if __name__ == "__main__":
    main()
