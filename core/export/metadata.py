"""The metadata of an exported network, enough to use it without the checkpoint or this project."""

from __future__ import annotations

import json
import os

import numpy as np

from core import network as core_network
from core.checkpoints import restore
from core.export.artifact import Network
from core.runs import folder
from utils.compat import host_session, tf

# Increased when a reader of older files would misread a newer one.
FORMAT_VERSION = 1


def describe(network: Network, checkpoint_path: str, use_ema: bool = False) -> dict:
    """Returns the metadata as plain values, without that of the files.

    Args:
      network: What is exported.
      checkpoint_path: Prefix of its checkpoint.
      use_ema: Whether its weights are the EMA weights.
    """
    return {
        "format_version": FORMAT_VERSION,
        "dataset": network.classes.name or None,
        **network.classes.to_dict(),
        "inference": {
            "crop_size": list(network.crop_size),
            "scales": list(network.averaging.scales),
            **network.averaging.settings(),
            **(network.thresholds.describe() if network.task.uses_threshold else {}),
            # Not in the graph: applied to the labels by who uses the model.
            "postprocess": list(network.postprocess),
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


def _preprocessing(network: Network) -> dict:
    scale, shift, order = _normalization(network)
    return {
        "input": "RGB, 0 to 255, height x width x 3",
        "resize": network.resize,
        "shrink_to_crop": True,
        "resize_method": "bilinear, aligned corners",
        "pad_color": list(network.pad_color),
        "pad_sides": "bottom and right",
        # The network gets value * scale + shift of each channel in this order, computed inside
        # every format.
        "normalization": {"inside": True, "order": order, "scale": scale, "shift": shift},
    }


def _normalization(network: Network) -> tuple:
    """Returns scale and shift of each channel, as lists, and the order of the channels."""
    normalize = core_network.backbone(network.spec.options).normalize
    with tf.Graph().as_default(), host_session() as session:
        colors = normalize(tf.constant([[[[0.0] * 3, [255.0] * 3, [255.0, 0.0, 0.0]]]]))
        black, white, red = session.run(colors)[0, 0].astype(np.float64)
    order = "RGB" if red[0] == white[0] else "BGR"
    return [round(value, 9) for value in (white - black) / 255], black.tolist(), order


def as_text(metadata: dict) -> str:
    """Returns metadata as JSON."""
    return json.dumps(metadata, indent=2) + "\n"
