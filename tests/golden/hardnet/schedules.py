"""The learning rates of PyTorch's schedules by the number of steps, in closed form."""

from __future__ import annotations

import bisect
import math

from utils.errors import UserError


def at(name: str, steps: int, base: float, momentum: float, params: dict) -> tuple:
    """Returns (learning rate, momentum) after a number of steps of a schedule.

    Args:
      name: The schedule's class, with or without its module; None for a constant rate.
      steps: How often the schedule has been stepped.
      base: The optimizer's rate.
      momentum: The optimizer's momentum, which most schedules leave alone.
      params: The schedule's arguments.

    Raises:
      UserError: If there is no such schedule here.
    """
    schedule = SCHEDULES.get((name or "constant_lr").rsplit(".", 1)[-1])
    if schedule is None:
        raise UserError(f"scheduler is {name}, but must be one of {', '.join(SCHEDULES)}.")
    params = {key: value for key, value in params.items() if key != "last_epoch"}
    found = schedule(steps, base, **params)
    return found if isinstance(found, tuple) else (found, momentum)


def _constant(unused_steps, base):
    return base


def _poly(steps, base, *, max_iter, gamma=0.9, decay_iter=1):
    del decay_iter  # It has no effect in the original.
    return base * max(1.0 - steps / max_iter, 0.0) ** gamma


def _exponential(steps, base, *, gamma):
    return base * gamma**steps


def _step(steps, base, *, step_size, gamma=0.1):
    return base * gamma ** (steps // step_size)


def _multi_step(steps, base, *, milestones, gamma=0.1):
    return base * gamma ** bisect.bisect_right(sorted(milestones), steps)


def _cosine(steps, base, *, T_max, eta_min=0.0):
    return _half_wave(base, eta_min, steps / T_max)


def _cosine_with_restarts(steps, base, *, T_0, T_mult=1, eta_min=0.0):
    length = T_0
    while steps >= length:
        steps -= length
        length *= T_mult
    return _half_wave(base, eta_min, steps / length)


def _cyclic(
    steps,
    unused_base,
    *,
    base_lr,
    max_lr,
    step_size_up=2000,
    step_size_down=None,
    mode="triangular",
    gamma=1.0,
    base_momentum=0.8,
    max_momentum=0.9,
):
    down = step_size_up if step_size_down is None else step_size_down
    cycle, place = divmod(steps, step_size_up + down)
    height = place / step_size_up if place <= step_size_up else 1.0 - (place - step_size_up) / down
    height *= {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": gamma**steps}[mode]
    rate = base_lr + (max_lr - base_lr) * height
    return rate, max_momentum - (max_momentum - base_momentum) * height


def _one_cycle(
    steps,
    unused_base,
    *,
    max_lr,
    total_steps=None,
    epochs=0,
    steps_per_epoch=0,
    pct_start=0.3,
    anneal_strategy="cos",
    base_momentum=0.85,
    max_momentum=0.95,
    div_factor=25.0,
    final_div_factor=1e4,
):
    total = total_steps or epochs * steps_per_epoch
    move = _half_wave if anneal_strategy == "cos" else _line
    top, last = pct_start * total - 1.0, total - 1.0
    first_rate = max_lr / div_factor
    if steps <= top:
        share = steps / top
        return move(first_rate, max_lr, share), move(max_momentum, base_momentum, share)
    share = (steps - top) / (last - top)
    return (
        move(max_lr, first_rate / final_div_factor, share),
        move(base_momentum, max_momentum, share),
    )


def _half_wave(start, end, share):
    return end + (start - end) * (1.0 + math.cos(math.pi * share)) / 2.0


def _line(start, end, share):
    return start + (end - start) * share


SCHEDULES = {
    "constant_lr": _constant,
    "poly_lr": _poly,
    "ExponentialLR": _exponential,
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _cosine_with_restarts,
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
}
