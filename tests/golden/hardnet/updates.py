"""PyTorch's optimizers in NumPy: what one update makes of a weight and its slots.

Everything decays that is updated, batch norm's scales and offsets too.
"""

from __future__ import annotations

import numpy as np

from utils.errors import UserError

_BETAS = (0.9, 0.999)


class Optimizer:
    """Updates weights from gradients, and keeps the slots of each.

    Attributes:
      momentum: The momentum, or the first beta of Adam, before any schedule.
      slots: Name of a weight -> its slots: the momentum, or first and second moment.
    """

    def __init__(self, name: str, lr: float, **params):
        """Makes an optimizer.

        Args:
          name: sgd, adam or adamw.
          lr: The rate, before any schedule.
          **params: Of PyTorch's class of that name.

        Raises:
          UserError: If there is no such optimizer here.
        """
        if name not in _UPDATES:
            raise UserError(f"optimizer is {name}, but must be one of {', '.join(_UPDATES)}.")
        betas = params.get("betas", _BETAS)
        self.rate = lr
        self.momentum = params.pop("momentum", 0.0) if name == "sgd" else betas[0]
        self._name, self._params = name, params
        self.slots = {}
        self._updates = 0

    def update(self, weights: dict, gradients: dict, rate: float, momentum: float) -> dict:
        """Returns the new weights by name.

        Args:
          weights: Name -> array.
          gradients: Name -> array.
          rate: The rate of this update.
          momentum: Its momentum, or first beta.
        """
        self._updates += 1
        update = _UPDATES[self._name]
        updated = {}
        for name, weight in weights.items():
            slots = self.slots.setdefault(name, [])
            updated[name] = update(
                weight, gradients[name], slots, rate, momentum, self._updates, **self._params
            )
        return updated


def _sgd(
    weight, gradient, slots, rate, momentum, unused_step, *, weight_decay=0.0, nesterov=False, **_
):
    gradient = gradient + np.float32(weight_decay) * weight
    if not momentum:
        return weight - np.float32(rate) * gradient
    slots[:] = [np.float32(momentum) * slots[0] + gradient if slots else gradient]
    if nesterov:
        gradient = gradient + np.float32(momentum) * slots[0]
    return weight - np.float32(rate) * (gradient if nesterov else slots[0])


def _adam(
    weight,
    gradient,
    slots,
    rate,
    momentum,
    step,
    *,
    betas=_BETAS,
    eps=1e-8,
    weight_decay=0.0,
):
    gradient = gradient + np.float32(weight_decay) * weight
    first, second = slots or (np.zeros_like(weight), np.zeros_like(weight))
    first = np.float32(momentum) * first + np.float32(1.0 - momentum) * gradient
    second = np.float32(betas[1]) * second + np.float32(1.0 - betas[1]) * gradient**2
    slots[:] = [first, second]
    root = np.sqrt(second) / np.float32(np.sqrt(1.0 - betas[1] ** step)) + np.float32(eps)
    return weight - np.float32(rate / (1.0 - momentum**step)) * first / root


def _adamw(weight, gradient, slots, rate, momentum, step, *, weight_decay=0.01, **params):
    shrunk = weight * np.float32(1.0 - rate * weight_decay)
    return _adam(shrunk, gradient, slots, rate, momentum, step, **params)


_UPDATES = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}
