"""Finds what is wrong with a data set."""

from __future__ import annotations

from datasets.audit import run
from options.config import Config


def main(config: Config, path: str):
    """Audits; see `datasets.audit.run`."""
    run.main(config, path)
