"""`python -m deployment.launch`: starts the processes of a training."""

from __future__ import annotations

from deployment.launch import launcher

if __name__ == "__main__":
    launcher.run()
