"""What follows the gradient in a step: clipping, the optimizer, and the moving average."""

from collections.abc import Sequence

from torch import Tensor, nn

from pyro_vae.training.clipping import clipped
from pyro_vae.training.fused_adam import AdamKernel, has_kernel
from pyro_vae.training.train_step import State, weights_of


class Update:
    """The rest of several steps whose gradients are computed elsewhere.

    Arguments:
        state: the weights, the optimizer and the average, which change in place.
        weights: those that have a gradient.

    Example:
        >>> import torch
        >>> from pyro_vae.objectives import ELBO
        >>> from pyro_vae.vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> weights = list(vae.parameters())
        >>> state = State(vae, ELBO(), torch.optim.Adam(weights, fused=True), clip_norm=1.0)
        >>> update = Update(state, weights)
        >>> update([torch.ones_like(weight) for weight in weights]) > 1
        tensor(True)
    """

    def __init__(self, state: State, weights: Sequence[nn.Parameter]) -> None:
        self.state = state
        self.weights = weights
        self.kernel: AdamKernel | None = None
        if has_kernel(state.optimizer):
            self.kernel = AdamKernel(state.optimizer, weights)

    def __call__(self, gradients: list[Tensor]) -> Tensor:
        """Clip the gradients and move the weights.

        Arguments:
            gradients: of each weight.

        Returns:
            The norm of all gradients before clipping, ().
        """
        norm, gradients = clipped(gradients, self.state.clip_norm)
        self.move(gradients)
        return norm

    def move(self, gradients: list[Tensor]) -> None:
        """One step of the optimizer and of the average.

        Arguments:
            gradients: of each weight, clipped.
        """
        if self.kernel is not None:
            self.kernel(gradients)
        else:
            self._step(gradients)
        if self.state.ema is not None:
            self.state.ema.update()

    def _step(self, gradients: Sequence[Tensor]) -> None:
        """The step of an optimizer that looks for gradients in the weights."""
        for weight in weights_of(self.state.optimizer):
            weight.grad = None
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.state.optimizer.step()
