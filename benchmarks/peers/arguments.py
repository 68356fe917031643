"""The command line of the workers that run a peer network."""

from __future__ import annotations

import argparse
import importlib


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser of what every worker takes."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("network", help="A file of benchmarks/peers.")
    found.add_argument("--image_size", type=_size, required=True, help="Height,width.")
    found.add_argument("--batch_size", type=int, required=True)
    found.add_argument("--num_classes", type=int, required=True)
    found.add_argument("--task", choices=("multiclass", "binary", "multilabel"), required=True)
    found.add_argument("--optimizer", choices=("momentum", "adam"), required=True)
    found.add_argument("--weight_decay", type=float, default=0.0)
    found.add_argument("--inference", action="store_true", help="Run no training step.")
    return found


def _size(text) -> tuple:
    height, width = text.split(",")
    return int(height), int(width)


def channels(options) -> int:
    """Returns the number of logits of a pixel."""
    return 1 if options.task == "binary" else options.num_classes


def network(options):
    """Returns the module of the network."""
    return importlib.import_module(f"benchmarks.peers.{options.network}")
