"""pythae: the epoch of its BaseTrainer, without progress bar, log and saved files."""

import logging
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch import Tensor

from benchmarks.speed import by_hand
from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import Size


class Encoder(BaseEncoder):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.net = by_hand.net(size.encoder)

    def forward(self, x: Tensor) -> Any:
        loc, log_variance = self.net(x).chunk(2, -1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.net = by_hand.net(size.decoder)

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.net(z).sigmoid())


def contestants(size: Size) -> dict[str, Run]:
    x = size.rows()
    config = VAEConfig(
        input_dim=(size.data_dim,),
        latent_dim=size.latent_dim,
        reconstruction_loss="bce",
    )
    options = BaseTrainerConfig(
        per_device_train_batch_size=size.batch_size, learning_rate=1e-3, no_cuda=True
    )
    logging.disable(logging.INFO)
    data = BaseDataset(x, torch.ones(len(x)))
    trainer = BaseTrainer(
        VAE(config, Encoder(size), Decoder(size)), data, training_config=options
    )
    logging.disable(logging.NOTSET)
    trainer.set_optimizer()
    trainer.callback_handler = CallbackHandler([TrainingCallback()], trainer.model)
    return {"pythae, BaseTrainer": lambda: trainer.train_step(1)}
