"""Inputs in units of their spread."""

from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.networks.base import Shape


def standardized_shape(data_shape: Shape, missing: bool) -> Shape:
    """The shape of an encoder's input: that of a row, or twice as many numbers with the mask.

    The mask stands beside columns as as many columns, and beside images as channels.

    Example:
        >>> standardized_shape((5,), True), standardized_shape((28, 28), True)
        ((10,), (2, 28, 28))
        >>> standardized_shape((3, 28, 28), True), standardized_shape((5,), False)
        ((6, 28, 28), (5,))
    """
    if not missing:
        return data_shape
    if len(data_shape) == 2:
        return (2, *data_shape)
    return (2 * data_shape[0], *data_shape[1:])


def _with_mask(x: Tensor, dims: int) -> Tensor:
    """Rows with 0 for missing cells, and then the mask: 1 for each observed cell."""
    missing = x.isnan()
    filled = torch.where(missing, 0.0, x)
    observed = (~missing).to(x.dtype)
    if dims == 2:  # an image without channels
        return torch.stack([filled, observed], -3)
    return torch.cat([filled, observed], -dims)


def _of_all(data: Statistics) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of all numbers together, for each feature."""
    mean = data.mean
    if data.observed is None:
        variance = data.std.square().mean() + mean.var(correction=0)
        return mean.mean().expand_as(mean), variance.sqrt().expand_as(mean)
    share = data.observed / data.observed.sum()
    whole = (share * mean).sum()
    square = (share * (data.std.square() + (mean - whole).square())).sum()
    return whole.expand_as(mean), square.sqrt().expand_as(mean)


class Standardize(nn.Module):
    """Inputs in units of their spread: (x - mean) / std, with the statistics of the training rows.

    A feature whose std is ten times that of most rows, because of a few outlying values, has its
    median and its robust std instead. Before the first `fit` it is the identity.

    With `missing` the output has the mask of the observed cells beside the numbers, which are 0,
    the mean, for a missing cell, nan: see `standardized_shape`.

    While training it adds Gaussian noise, which makes an autoencoder a denoising one: the encoder
    sees corrupted inputs, the likelihood the data as given.

    References:
        Extracting and Composing Robust Features with Denoising Autoencoders (Vincent, Larochelle,
        Bengio, Manzagol, 2008).

    Arguments:
        data_shape: shape of one row.
        mode: "feature": one mean and std each feature; "all": one mean and std for all; "none": the
            identity.
        noise: standard deviation of the corruption, in standardised units.
        missing: whether rows may have missing cells.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        data_shape: Shape,
        mode: Literal["feature", "all", "none"],
        noise: float = 0.0,
        missing: bool = False,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.noise = noise
        self.missing = missing
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        """Take the statistics of the training rows; a feature that never varies keeps its unit."""
        if self.mode == "none":
            return
        mean = data.mean
        std = data.std
        if self.mode == "feature":
            mean = torch.where(data.outlying, data.median, mean)
            std = torch.where(data.outlying, data.robust_std, std)
        if self.mode == "all":
            mean, std = _of_all(data)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        standard = x
        if self.mode != "none":
            standard = (x - self.mean) / self.std
        if self.training and self.noise:
            standard = standard + self.noise * torch.randn_like(standard)
        if self.missing:
            return _with_mask(standard, self.mean.ndim)
        return standard

    def extra_repr(self) -> str:
        return f"{tuple(self.mean.shape)}, mode={self.mode!r}, noise={self.noise}"
