"""Shows what a checkpoint holds, matches it with a network, or writes a small copy."""

from __future__ import annotations

import collections
import os
import shutil

import common
from core import network
from core.checkpoints import files, names, restore
from core.runs import records
from options.config import Config
from utils.compat import tf


def main(config: Config):
    """Prints or writes what the options ask for."""
    options = config.checkpoint
    _show(options.checkpoint_path)
    if options.fit:
        _fit(config)
    if options.compact_to is not None:
        _compact(options.checkpoint_path, options.compact_to)


def _show(path: str):
    shapes = restore.shapes(path)
    scopes = collections.OrderedDict()
    for name in sorted(shapes):
        size = 1
        for side in shapes[name]:
            size *= side
        kind = name.split("/")[0] if names.is_of_network(name) else "(optimizer and loop)"
        count, values = scopes.get(kind, (0, 0))
        scopes[kind] = (count + 1, values + size)
    print(f"{path}: {len(shapes)} tensors, step {restore.step_of(path)}")
    for scope, (count, values) in scopes.items():
        print(f"  {scope:32s} {count:5d} tensors {values:14,d} values")


def _fit(config: Config):
    network.check(config.spec)
    options = config.checkpoint
    with tf.Graph().as_default():
        images = tf.zeros([1, 65, 65, config.network.input_channels])
        network.build(images, config.spec, options.num_classes)
        matched = restore.match(options.checkpoint_path, network.variables())
    print(matched.report())
    matched.raise_if_unexpected("Pass the options of the checkpoint's network.")
    print("Every variable of the network is in the checkpoint.")


def _compact(path: str, target: str):
    size = files.write_compact(path, target)
    for name in (common.OPTIONS_FILE, records.METRICS_FILE):
        beside = os.path.join(os.path.dirname(path), name)
        if os.path.exists(beside):
            shutil.copy(beside, os.path.join(os.path.dirname(target), name))
    print(f"Wrote {target}, {size / 1e6:.1f} MB.")
