"""The learning rates of PyTorch's schedules, from the product's policies."""

from __future__ import annotations

import numpy as np

from tests.golden import schedules
from utils.errors import UserError


def table(name: str | None, steps, base: float, params: dict, **options) -> np.ndarray:
    """Returns [learning rate, momentum] after each number of steps, float64 [n, 2].

    Args:
      name: The schedule's class, with or without its module; None for a constant rate.
      steps: How often the schedule has been stepped.
      base: The optimizer's rate.
      params: The schedule's arguments.
      **options: Of the product's optimizer.
    """
    return schedules.table({**options, **options_of(name, base, params)}, steps)


def options_of(name: str | None, base: float, params: dict) -> dict:
    """Returns the product's options for a schedule.

    Raises:
      UserError: If it has no such schedule.
    """
    found = _OPTIONS.get((name or "constant_lr").rsplit(".", 1)[-1])
    if found is None:
        raise UserError(f"scheduler is {name}, but must be one of {', '.join(_OPTIONS)}.")
    params = {key: value for key, value in params.items() if key != "last_epoch"}
    return {"base_learning_rate": base, **found(base, **params)}


def _constant(unused_base):
    return {"learning_policy": "constant"}


def _poly(unused_base, *, max_iter, gamma=0.9, decay_iter=1):
    del decay_iter  # It has no effect in the original.
    return {"learning_policy": "poly", "decay_steps": float(max_iter), "learning_power": gamma}


def _exponential(unused_base, *, gamma):
    return {
        "learning_policy": "exponential",
        "learning_rate_decay_factor": gamma,
        "learning_rate_decay_step": 1,
    }


def _step(unused_base, *, step_size, gamma=0.1):
    return {
        "learning_policy": "step",
        "learning_rate_decay_factor": gamma,
        "learning_rate_decay_step": step_size,
    }


def _multi_step(unused_base, *, milestones, gamma=0.1):
    return {
        "learning_policy": "multi_step",
        "learning_rate_decay_factor": gamma,
        "multi_step_milestones": tuple(milestones),
    }


def _cosine(unused_base, *, T_max, eta_min=0.0):
    return {
        "learning_policy": "cosine",
        "cosine_steps": T_max,
        "cosine_end_learning_rate": float(eta_min),
    }


def _cosine_with_restarts(unused_base, *, T_0, T_mult=1, eta_min=0.0):
    return {
        "learning_policy": "cosine_restarts",
        "cosine_steps": T_0,
        "cosine_multiplier": T_mult,
        "cosine_end_learning_rate": float(eta_min),
    }


def _cyclic(
    unused_base,
    *,
    base_lr,
    max_lr,
    step_size_up=2000,
    step_size_down=None,
    mode="triangular",
    gamma=1.0,
):
    return {
        "learning_policy": "cyclic",
        "base_learning_rate": base_lr,
        "cyclic_maximum_learning_rate": max_lr,
        "cyclic_steps_up": step_size_up,
        "cyclic_steps_down": step_size_down,
        "cyclic_mode": mode,
        "cyclic_factor": gamma,
    }


def _one_cycle(
    unused_base,
    *,
    max_lr,
    total_steps=None,
    epochs=0,
    steps_per_epoch=0,
    pct_start=0.3,
    anneal_strategy="cos",
    div_factor=25.0,
    final_div_factor=1e4,
):
    return {
        "learning_policy": "one_cycle",
        "base_learning_rate": max_lr,
        "training_number_of_steps": total_steps or epochs * steps_per_epoch,
        "one_cycle_rising_share": pct_start,
        "one_cycle_shape": anneal_strategy,
        "one_cycle_division": float(div_factor),
        "one_cycle_final_division": float(final_div_factor),
    }


def _warmup(base, *, mode, warmup_iters, gamma, inner, inner_params):
    # The original never steps the inner schedule, so its rate stays at the base.
    del inner, inner_params
    return {
        "learning_policy": "constant",
        "slow_start_step": warmup_iters,
        "slow_start_learning_rate": gamma * base,
        "slow_start_shape": mode,
    }


_OPTIONS = {
    "constant_lr": _constant,
    "poly_lr": _poly,
    "ExponentialLR": _exponential,
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _cosine_with_restarts,
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
    "warmup": _warmup,
}
