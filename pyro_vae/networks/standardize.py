"""Inputs in units of their spread."""

from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.networks.base import Shape


class Standardize(nn.Module):
    """Inputs in units of their spread: (x - mean) / std, with the statistics of the training rows.

    Where few cells far away make the std of a feature ten times that of most rows, it takes median
    and robust std.

    Until `start_from` it is the identity. While training it adds `noise` standard deviations of
    Gaussian noise, which makes an autoencoder a denoising one (Vincent et al., 2008, Extracting and
    Composing Robust Features with Denoising Autoencoders): the encoder sees corrupted inputs, the
    likelihood the data as given.

    Arguments:
        data_shape: shape of one row.
        mode: "feature": one mean and std each feature; "all": one mean and std for all; "none": the
            identity.
        noise: standard deviation of the corruption, in standardised units.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, data_shape: Shape, mode: Literal["feature", "all", "none"], noise: float = 0.0
    ) -> None:
        super().__init__()
        self.mode, self.noise = mode, noise
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def start_from(self, data: Statistics) -> None:
        """Take the statistics of the training rows; a feature that never varies keeps its unit."""
        if self.mode == "none":
            return
        mean, std = data.mean, data.std
        if self.mode == "feature":
            mean = torch.where(data.outlying, data.median, mean)
            std = torch.where(data.outlying, data.robust_std, std)
        if self.mode == "all":
            std = (std.square().mean() + mean.var(correction=0)).sqrt().expand_as(std)
            mean = mean.mean().expand_as(mean)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        standard = x if self.mode == "none" else (x - self.mean) / self.std
        return (
            standard + self.noise * torch.randn_like(standard)
            if self.training and self.noise
            else standard
        )

    def extra_repr(self) -> str:
        return f"{tuple(self.mean.shape)}, mode={self.mode!r}, noise={self.noise}"
