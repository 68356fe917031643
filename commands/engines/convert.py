"""Converts images and masks to TFRecords."""

from __future__ import annotations

from datasets.convert import conversion
from options.config import Config


def main(config: Config, format_name: str):
    """Converts; see `conversion.convert`."""
    conversion.convert(format_name, config)
