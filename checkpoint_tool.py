"""Shows what a checkpoint holds and how it fits a network, or writes a compact copy.

python checkpoint_tool.py --checkpoint_path=RUN/model.ckpt-1000
python checkpoint_tool.py --checkpoint_path=... --fit --model_variant=... --num_classes=21
python checkpoint_tool.py --checkpoint_path=... --compact_to=FOLDER/model.ckpt-1000
"""

from __future__ import annotations

import collections
import dataclasses
import os
import shutil

from absl import flags

import common
from common import Options, option
from options.network import NETWORK_RECORDS, NetworkSpec
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class ToolOptions(Options):
    """What to do with which checkpoint."""

    checkpoint_path: str | None = option(
        flags.DEFINE_string, None, "Checkpoint, as a prefix such as FOLDER/model.ckpt-1000."
    )
    fit: bool = option(
        flags.DEFINE_bool, False, "Whether to match it with the network of the network flags."
    )
    num_classes: int = option(
        flags.DEFINE_integer, 21, "Classes of that network.", minimum=1, maximum=255
    )
    compact_to: str | None = option(
        flags.DEFINE_string,
        None,
        "Prefix of a copy without optimizer state, kernels in half precision; options.json and "
        "metrics.jsonl go with it.",
    )


OPTION_CLASSES = (ToolOptions, *NETWORK_RECORDS)


def main(flag_values):
    """Reads the flags and prints or writes what they ask for."""
    options = common.from_flags(ToolOptions, flag_values)
    spec = NetworkSpec.from_flags(flag_values)
    if options.checkpoint_path is None:
        raise OptionError("--checkpoint_path is missing; name the checkpoint to look at.")
    _show(options.checkpoint_path)
    if options.fit:
        _fit(options, spec)
    if options.compact_to is not None:
        _compact(options.checkpoint_path, options.compact_to)


def _show(path: str):
    from core.checkpoints import names, restore

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


def _fit(options: ToolOptions, spec: NetworkSpec):
    from core import network
    from core.checkpoints import restore
    from core.training import step
    from utils.compat import tf

    network.check(spec)
    with tf.Graph().as_default():
        network.build(tf.zeros([1, 65, 65, 3]), spec, options.num_classes)
        matched = restore.match(options.checkpoint_path, step.network_variables())
    print(matched.report())
    matched.raise_if_unexpected("Pass the options of the checkpoint's network.")
    print("Every variable of the network is in the checkpoint.")


def _compact(path: str, target: str):
    from core.checkpoints import files
    from core.runs import records

    size = files.write_compact(path, target)
    for name in (common.OPTIONS_FILE, records.METRICS_FILE):
        beside = os.path.join(os.path.dirname(path), name)
        if os.path.exists(beside):
            shutil.copy(beside, os.path.join(os.path.dirname(target), name))
    print(f"Wrote {target}, {size / 1e6:.1f} MB.")


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
