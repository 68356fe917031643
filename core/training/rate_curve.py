"""The loss by learning rate: when a search stops, how the loss changes, which rate is suggested.

The test raises the rate from step to step by one factor, so that steps are equal distances on a
logarithmic axis. Source: arXiv 1506.01186, section 3.3 (the "LR range test").
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math

import numpy as np

# Part of the steps over which the loss is averaged before the steepest place is searched.
_SMOOTHED_PART = 20
# Share of the loss that it must fall by for a rate to be suggested.
_SMALLEST_FALL = 0.01


def rates(start: float, end: float, steps: int) -> np.ndarray:
    """Returns start * (end / start) ** (i / steps) for each step i from 0, float64 [steps]."""
    return start * (end / start) ** (np.arange(steps) / steps)


def changes(losses, distance: int) -> np.ndarray:
    """Returns the mean change of the loss per step over the last steps, float64, one per loss.

    Args:
      losses: One per step.
      distance: Steps over which it is averaged, > 0; the first ones have 0.
    """
    losses = np.asarray(losses, np.float64)
    found = np.zeros(len(losses))
    found[distance:] = (losses[distance:] - losses[: len(losses) - distance]) / distance
    return found


def reason_to_stop(losses, factor: float) -> str | None:
    """Returns why the search ends with the last loss, as text, or None.

    Args:
      losses: The losses so far.
      factor: How many times the lowest loss is too much.
    """
    last = losses[-1]
    if not math.isfinite(last):
        return "the loss is not finite"
    best = min(losses)
    if last > factor * best:
        return f"the loss {last:g} is above {factor:g} times the lowest, {best:g}"
    return None


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A learning rate, and why.

    Attributes:
      rate: None if the losses suggest none.
      why: A sentence.
    """

    rate: float | None
    why: str


def suggest(tried, losses) -> Suggestion:
    """Suggests the rate at which the loss falls fastest, before it is lowest.

    The loss is averaged over a twentieth of the steps first, since single batches differ.

    Args:
      tried: The rate of each step, rising.
      losses: The loss of each step.
    """
    finite = [(rate, loss) for rate, loss in zip(tried, losses) if math.isfinite(loss)]
    if len(finite) < 3:
        return Suggestion(None, f"Only {len(finite)} losses are finite; begin at a lower rate.")
    tried, losses = np.array(finite).T
    smooth = _smoothed(losses, max(3, len(losses) // _SMOOTHED_PART))
    lowest = int(smooth.argmin())
    first, low = float(smooth[0]), float(smooth[lowest])
    if lowest == 0 or first - low < _SMALLEST_FALL * abs(first):
        return Suggestion(
            None,
            f"The smoothed loss does not fall from its {first:.4g} at rate {tried[0]:.3g} by 1%: "
            "try higher rates, more steps or larger batches, and check the data.",
        )
    steepest = int(np.diff(smooth[: lowest + 1]).argmin())
    return Suggestion(
        float(tried[steepest]),
        f"The smoothed loss falls fastest at rate {tried[steepest]:.3g}. It begins with "
        f"{first:.4g} and is lowest, {low:.4g}, at rate {tried[lowest]:.3g}"
        + (
            ", the highest that was tried."
            if lowest == len(tried) - 1
            else "; higher rates undo what was learned."
        ),
    )


def _smoothed(values, window: int) -> np.ndarray:
    """Returns centred means over a window, over what there is of it at the ends."""
    half = window // 2
    return np.array(
        [values[max(0, place - half) : place + half + 1].mean() for place in range(len(values))]
    )


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """What a search found.

    Attributes:
      rates: The learning rate of each step made, float32 values.
      losses: The loss of each step, before its update; the last one may not be finite.
      stopped: Why it ended before its last step, None if it did not.
      distance: Steps over which `changes` averages.
    """

    rates: tuple
    losses: tuple
    stopped: str | None
    distance: int

    @property
    def changes(self) -> np.ndarray:
        """The change of the loss per step, float64, one per loss."""
        return changes(self.losses, self.distance)

    @property
    def suggestion(self) -> Suggestion:
        """The suggested rate."""
        return suggest(self.rates, self.losses)

    def to_json(self, **more) -> str:
        """Returns all as JSON; what is not finite is null.

        Args:
          **more: Further entries.
        """
        suggestion = self.suggestion
        finite = [loss for loss in self.losses if math.isfinite(loss)]
        content = {
            "suggested_rate": suggestion.rate,
            "why": suggestion.why,
            "steps": len(self.rates),
            "stopped": self.stopped,
            "best_loss": min(finite, default=None),
            "sma": self.distance,
            "rates": list(self.rates),
            "losses": [_or_none(loss) for loss in self.losses],
            "changes": [_or_none(change) for change in self.changes],
            **more,
        }
        return json.dumps(content, indent=1) + "\n"

    def to_csv(self) -> str:
        """Returns a table with the columns step, rate, loss and change."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["step", "rate", "loss", "change"])
        for step, row in enumerate(zip(self.rates, self.losses, self.changes)):
            table.writerow([step, *(f"{value:.9g}" for value in row)])
        return text.getvalue()


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
