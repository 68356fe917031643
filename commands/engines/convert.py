"""Converts images and masks to TFRecords."""

from __future__ import annotations

from datasets import convert
from options.config import Config


def main(config: Config, format_name: str):
    """Converts; see `datasets.convert.convert`."""
    convert.convert(format_name, config.conversion, config.given)
