"""Starts the processes of a training."""

from __future__ import annotations

from deployment.launch import launcher
from options.config import Config


def main(config: Config, command: list):
    """Runs a command on every device; see `deployment.launch.launcher`."""
    launcher.launch(config.launch, command)
