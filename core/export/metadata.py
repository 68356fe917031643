"""What travels with an exported network, so that nobody needs the checkpoint or this project."""

from __future__ import annotations

import json
import os

import numpy as np

from core import network as core_network
from core.checkpoints import restore
from core.export import graph
from core.runs import folder
from utils.compat import host_session, tf

# Grows when a reader of an older file would misunderstand a newer one.
FORMAT_VERSION = 1


def describe(
    network: graph.Network, checkpoint_path: str, classes: dict, use_ema: bool = False
) -> dict:
    """Returns everything that is known before anything is written, as plain values.

    Args:
      network: What is exported.
      checkpoint_path: Prefix of its checkpoint.
      classes: `dataset`, `class_names`, `colors` and `ignore_label`.
      use_ema: Whether its weights are the averages over training.
    """
    return {
        "format_version": FORMAT_VERSION,
        "task": "semantic segmentation",
        "num_classes": network.num_classes,
        **classes,
        "inference": {
            "crop_size": list(network.crop_size),
            "scales": list(network.scales),
            "add_flipped_images": network.flip,
        },
        "preprocessing": _preprocessing(network),
        "network": network.spec.to_dict(),
        "checkpoint": {
            "name": os.path.basename(checkpoint_path),
            "path": os.path.abspath(checkpoint_path),
            "step": restore.step_of(checkpoint_path),
            "use_ema": use_ema,
        },
        "versions": {**folder.versions(), "commit": folder.git_commit()},
    }


def _preprocessing(network: graph.Network) -> dict:
    scale, shift = _normalization(network)
    return {
        "input": "RGB, 0 to 255, height x width x 3",
        "resize": network.resize,
        "shrink_to_crop": True,
        "resize_method": "bilinear, aligned corners",
        "pad_color": list(network.pad_color),
        "pad_sides": "bottom and right",
        # The network sees value * scale + shift of each channel; every format does it inside.
        "normalization": {"inside": True, "scale": scale, "shift": shift},
    }


def _normalization(network: graph.Network) -> tuple:
    """Returns the factor and the summand of each channel, as lists."""
    normalize = core_network.backbone(network.spec.options).normalize
    with tf.Graph().as_default(), host_session() as session:
        ends = normalize(tf.constant([[[[0.0] * 3, [255.0] * 3]]]))
        low, high = session.run(ends)[0, 0].astype(np.float64)
    return [round(value, 9) for value in (high - low) / 255], low.tolist()


def as_text(metadata: dict) -> str:
    """Returns metadata as JSON."""
    return json.dumps(metadata, indent=2) + "\n"
