"""The classifier of a model with a label."""

from torch import Tensor, nn

from pyro_vae.networks.context import ContextFeatures, Resolved, beside
from pyro_vae.networks.precision import autocast
from pyro_vae.networks.standardize import Standardize


class Classifier(nn.Module):
    """q(y | x, c): the logits of the classes of rows, (n, K).

    Arguments:
        standardize: what the rows go through.
        network: from standardised rows to features, (n, width).
        width: of these features.
        features: e(c) of what else is given; None for nothing.
        classes: K.

    Example:
        >>> import torch
        >>> standardize = Standardize((4,), "feature")
        >>> Classifier(standardize, nn.Linear(4, 8), 8, None, 3)(torch.zeros(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        standardize: Standardize,
        network: nn.Module,
        width: int,
        features: ContextFeatures | None,
        classes: int,
    ) -> None:
        super().__init__()
        self.standardize = standardize
        self.network = network
        self.features = features
        given = features.width if features is not None else 0
        self.head = nn.Linear(width + given, classes)

    def forward(self, x: Tensor, others: Tensor | Resolved | None = None) -> Tensor:
        """The logits for rows x, (n, *data_shape), and what is given beside the label, (n, C')."""
        encoded = autocast(self.network, self.standardize(x))
        if self.features is not None and others is not None:
            encoded = beside(encoded, self.features(others))
        logits: Tensor = self.head(encoded)
        return logits
