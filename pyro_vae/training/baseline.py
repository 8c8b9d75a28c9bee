"""What a model has to beat: the same likelihood without latent variables, each column by itself."""

import torch
from torch.distributions import Distribution

from pyro_vae.data import LoaderRows, Rows
from pyro_vae.training.epoch import weighted_batches
from pyro_vae.training.weights import RowWeights
from pyro_vae.vae import VAE


def independent_score(vae: VAE, train: Rows, valid: Rows | None, weights: RowWeights | None = None) -> float | None:
    """Mean log p(x) in nats per row of independent columns, each with the moments of the training rows.

    It is that of the validation rows, and without them that of the training rows. None where the likelihood has no
    such form, as one of the user's, or the rows come from a loader in an order of their own.
    """
    independent = getattr(vae.likelihood, "independent", None)
    found = independent() if callable(independent) else None
    if not isinstance(found, Distribution) or (valid is None and isinstance(train, LoaderRows)):
        return None
    if valid is not None:
        batches = weighted_batches(valid, 1024, weights)
    else:
        batches = ((batch, None) for batch in train.batches(1024))
    score, total = 0.0, 0.0
    with torch.no_grad():
        for batch, counts in batches:
            log_p = found.log_prob(batch).double()
            score += float(log_p.sum() if counts is None else (counts * log_p).sum())
            total += len(batch) if counts is None else float(counts.sum())
    return score / total
