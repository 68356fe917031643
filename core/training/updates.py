"""Chooses the optimizer."""

from __future__ import annotations

from core.training import optimizers
from core.training.optimizers import Optimizer, Settings
from utils import variants

# Name -> class of every optimizer; the folder is the registry.
OPTIMIZERS = variants.collect(optimizers)


def create(settings: Settings) -> Optimizer:
    """Returns the optimizer.

    Args:
      settings: Its options, learning rate and momentum, and what differs between variables.
    """
    return OPTIMIZERS[settings.options.optimizer](settings)
