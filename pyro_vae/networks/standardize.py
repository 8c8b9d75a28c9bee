"""Inputs in units of their spread."""

from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.networks.base import Shape


class Standardize(nn.Module):
    """Inputs in units of their spread: (x - mean) / std, with the statistics of the training rows.

    A feature whose std is ten times that of most rows, because of a few outlying values, has its
    median and its robust std instead. Before the first `fit` it is the identity.

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
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        data_shape: Shape,
        mode: Literal["feature", "all", "none"],
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.noise = noise
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
            variance = std.square().mean() + mean.var(correction=0)
            std = variance.sqrt().expand_as(std)
            mean = mean.mean().expand_as(mean)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        standard = x
        if self.mode != "none":
            standard = (x - self.mean) / self.std
        if self.training and self.noise:
            standard = standard + self.noise * torch.randn_like(standard)
        return standard

    def extra_repr(self) -> str:
        return f"{tuple(self.mean.shape)}, mode={self.mode!r}, noise={self.noise}"
