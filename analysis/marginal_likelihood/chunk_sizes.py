"""How many draws are decoded at once, and whether by a compiled graph."""

import math
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.marginal_likelihood.arguments import Compile
from pyro_vae.compiler import products
from pyro_vae.inputs import placement_of
from pyro_vae.vae import VAE

WORTH_COMPILING = 10_000
"""Calls of a chunk: compiling takes about ten seconds, and saves at least a millisecond a call."""

_CACHE = {"cpu": 2**21, "cuda": 2**28}  # bytes of the widest layer of a chunk
_WHEN_COMPILED = 2  # times as much: no copies of that layer are made


def chunks(
    vae: VAE, chunk_size: int | None, compile: Compile, work: int
) -> tuple[int, bool]:
    """Pairs of a row and a draw that are decoded at once, and whether by a compiled graph."""
    pairs = chunk_size or affordable_pairs(vae)
    compiles = is_worth_compiling(compile, work, pairs)
    if compiles and chunk_size is None:
        pairs = pairs * _WHEN_COMPILED
    return pairs, compiles


def is_worth_compiling(compile: Compile, work: int, pairs: int) -> bool:
    """Whether to compile for so many pairs of a row and a draw, of which a call takes `pairs`."""
    is_long = work >= WORTH_COMPILING * pairs
    is_worth = compile == "on" or (compile == "auto" and is_long)
    if is_worth:
        products.library()  # an error in its environment variable comes before the work
    return is_worth


def affordable_pairs(vae: VAE) -> int:
    """Pairs of a row and a draw whose widest layer fits into the cache; more are slower."""
    placement = placement_of(vae)
    sizes = [math.prod(vae.spec.data_shape)]

    def note_size(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    with evaluation(vae), ExitStack() as hooks:
        for module in vae.likelihood.modules():
            hooks.enter_context(module.register_forward_hook(note_size))
        shape = (1, vae.spec.decoder_inputs)
        vae.likelihood(
            torch.zeros(shape, dtype=placement.dtype, device=placement.device)
        )
    cache = _CACHE.get(placement.device.type, max(_CACHE.values()))
    return int(np.clip(cache // (max(sizes) * placement.dtype.itemsize), 1, 2**14))
