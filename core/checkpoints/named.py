"""Weights by name: `--init=NAME` finds the file, here or in a folder of the user.

It imports nothing of TensorFlow, so that a name without a file is refused at once.
"""

from __future__ import annotations

import os

from options.training import TrainOptions
from utils.errors import OptionError

RANDOM = "random"
# Names of data sets stand for MODEL_VARIANT_NAME.
DATA_SETS = ("imagenet", "coco_voc", "pascal_voc")
VARIABLE = "SEGMENTATION_WEIGHTS"
# The weights that come with this project.
SHIPPED = os.path.normpath(os.path.join(os.path.abspath(__file__), "../../../weights"))
# Files beside weights that hold none.
_OTHERS = (".json", ".jsonl", ".md", ".meta", ".txt", ".yaml")


def initial_weights(options: TrainOptions, model_variant: str) -> str | None:
    """Returns the weights that a training starts from; None for random ones.

    Args:
      options: The training.
      model_variant: The backbone, for names of data sets.

    Returns:
      A path or prefix, as `--tf_initial_checkpoint` takes it.

    Raises:
      OptionError: If `--init` names weights that are not there, or more than one file.
    """
    if options.init is None or options.init == RANDOM:
        return options.tf_initial_checkpoint
    name = options.init
    if name in DATA_SETS:
        name = f"{model_variant}_{name}"
    if os.path.basename(name) != name:
        raise OptionError(
            f"--init={options.init} is no name; pass files as --tf_initial_checkpoint={name}."
        )
    folders = _folders(options.weights_dir)
    for folder in folders:
        found = _found(name, folder)
        if len(found) > 1:
            raise OptionError(
                f"--init={options.init} may be {' or '.join(found)}; pass one of them as "
                "--tf_initial_checkpoint."
            )
        if found:
            return found[0]
    raise OptionError(
        f"--init={options.init} wants {name}.* (a checkpoint, or weights of another framework), "
        f"which is not in {' or '.join(folders)}; put it there, name its folder with --weights_dir "
        f"or {VARIABLE}, or pass --init={RANDOM}."
    )


def _folders(weights_dir) -> list:
    """Returns the folders to look in, in this order."""
    own = weights_dir or os.environ.get(VARIABLE)
    return [SHIPPED, *([own] if own else [])]


def _found(name, folder) -> list:
    """Returns the weights of a name in a folder: files, and prefixes of checkpoints."""
    if not os.path.isdir(folder):
        return []
    endings = sorted(
        entry[len(name) :] for entry in os.listdir(folder) if entry.startswith(name + ".")
    )
    prefix = os.path.join(folder, name)
    files = [end for end in endings if not end.startswith(".data-") and not end.endswith(_OTHERS)]
    return [prefix if end == ".index" else prefix + end for end in files]
