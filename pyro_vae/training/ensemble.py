"""Several fits of one description, which differ by their seeds."""

import os
from typing import Any

from pyro_vae.arguments import as_int, public
from pyro_vae.training.loop import fit
from pyro_vae.training.run import Run
from pyro_vae.vae import VAE


@public
def fit_ensemble(
    vae: VAE, x: Any, *, ensemble: int = 5, seed: int = 0, **options: Any
) -> list[Run]:
    """Fit several models of one description, which start, and see the rows, in different orders.

    The parameters of one model are a point, so that its answers are too certain where rows are few.
    Where the models of an ensemble differ, the data leave room: `impute` and `predict` take the
    list of them, and give the mixture of what they say.

    References:
        Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles
        (Lakshminarayanan, Pritzel, Blundell, 2017).

    Arguments:
        vae: the model that is described; it is left as it is.
        x: rows, as `fit` takes them.
        ensemble: the number of models.
        seed: of the first; the others have the next numbers.
        **options: of `fit`; a checkpoint is one for each model: "path-0", "path-1" and so on.

    Returns:
        A `Run` for each model, with the model as `run.vae`.

    Raises:
        ValueError: fewer than 2 models; parts of the user's own, which no description makes anew;
            and what `fit` raises.

    Example:
        >>> import torch
        >>> vae = VAE(data_shape=(3,), latent_dim=1)
        >>> runs = fit_ensemble(vae, torch.randn(20, 3), ensemble=2, epochs=1)
        >>> [run.vae.spec.seed for run in runs]
        [0, 1]
    """
    as_int(ensemble, "ensemble", at_least=2)
    own = vae.spec.custom()
    if own:
        raise ValueError(
            f"fit_ensemble: expected a model that its description makes, got your own "
            f"{' and '.join(own)}; fit several models of your own with fit, and pass the list"
        )
    checkpoint = options.pop("checkpoint", None)
    like = next(vae.parameters())
    runs = []
    for number in range(ensemble):
        member = VAE.from_spec(vae.spec, seed=vae.spec.seed + number).to(like)
        if checkpoint is not None:
            options["checkpoint"] = f"{os.fspath(checkpoint)}-{number}"
        runs.append(fit(member, x, seed=seed + number, **options))
    return runs
