"""`python -m deployment.launch`: starts the processes of a training."""

from __future__ import annotations

import common
from deployment.launch.launcher import LaunchOptions, main

if __name__ == "__main__":
    common.run(main, LaunchOptions, rest="the command to start")
