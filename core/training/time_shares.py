"""Where the time of a run goes: waiting for input, the device, the host; and a warning."""

from __future__ import annotations

import time

from absl import logging

from core.training.step import TrainStep

# Input waits beyond this share of the time are worth a warning...
_WAIT = 0.1
# ... where they were seen over so many steps.
_STEPS = 50


class TimeShares:
    """Splits the time between two looks. The first look only starts the clock.

    The device's share and that of input waits are measured in the graph
    (`core/training/step_timer.py`); the host's is the rest: hooks, logs, checkpoints, and calling
    the session.
    """

    def __init__(self, step: TrainStep, *, warns: bool = True):
        """Makes the clock.

        Args:
          step: The training step; without `seconds` nothing is measured.
          warns: Whether long waits for input are warned of, once.
        """
        self._step = step
        self._last = None
        self._watched = {"steps": 0, "input": 0.0, "all": 0.0}
        self._warns = warns

    def look(self, session, step: int) -> dict:
        """Returns the shares since the last look, empty for the first one.

        Args:
          session: The training's session.
          step: Steps made so far.

        Returns:
          "input_share", "device_share", "host_share", which sum to 1.
        """
        if not self._step.seconds:
            return {}
        now = {"step": step, "all": time.monotonic(), **session.run(self._step.seconds)}
        before, self._last = self._last, now
        if before is None or step == before["step"]:
            return {}
        passed = {name: float(now[name] - before[name]) for name in now}
        self._watch(passed)
        shares = {name: passed[name] / passed["all"] for name in ("input", "device")}
        host = max(0.0, 1.0 - sum(shares.values()))
        return {
            "input_share": shares["input"],
            "device_share": shares["device"],
            "host_share": host,
        }

    def leave_out(self, seconds: float):
        """Keeps time out of the shares that is not training, such as an evaluation's."""
        if self._last is not None:
            self._last["all"] += seconds

    def _watch(self, passed: dict):
        watched = self._watched
        watched["steps"] += passed["step"]
        watched["input"] += passed["input"]
        watched["all"] += passed["all"]
        if watched["steps"] < _STEPS:
            return
        share = watched["input"] / watched["all"]
        if share > _WAIT and self._warns:
            self._warns = False
            logging.warning(
                "%.0f %% of the time of the last %d steps was waiting for input: preparing the "
                "images is slower than the network. Give the process more CPU cores, keep the "
                "records on a faster disk, or convert smaller images.",
                100 * share,
                watched["steps"],
            )
        self._watched = dict.fromkeys(watched, 0)


def columns(shares: dict) -> list:
    """Returns shares as columns of a log line: "input:3%", "device:95%", "host:2%"."""
    return [f"{name[: -len('_share')]}:{100 * share:.0f}%" for name, share in shares.items()]
