"""Makes a checkpoint of weights of another framework or system.

The network of the network flags is built, and each of its variables gets its array: all of them, or
nothing is written. Two things may be missing as a whole: the head, so that weights of a backbone
alone can start a training, and heads that only training has.
"""

from __future__ import annotations

import os
import re

from core import layers, network
from core.checkpoints import files, foreign, restore
from core.checkpoints.convert import Network, Source
from options.config import Config
from utils import variants
from utils.compat import tf
from utils.errors import OptionError, UserError

# A size that every network takes.
_SIZE = 192
_SHOWN = 10


def main(config: Config):
    """Converts the weights and reports what became of them."""
    options, spec = config.weights, config.spec
    network.check(spec)
    source = variants.lookup(foreign.SOURCES, options.source, "--source")
    _check_kind(source, options)
    if restore.files_of(options.output):
        raise OptionError(f"--output={options.output} exists; choose another prefix.")
    built = _built(spec, 1)
    found, left = source.convert(options.input, built)
    channels = _channels(found, built)
    if channels > 1:
        built = _built(spec, channels)
        found, left = source.convert(options.input, built)
    missing = _missing(found, built, spec, options.input)
    _check_shapes(found, built, options.input)
    size = files.write_arrays(dict(sorted(found.items())), options.output)
    values = sum(array.size for array in found.values())
    print(f"{options.input}: {len(found)} variables, {values:,} values")
    if missing:
        print(f"  not in it, so not in the checkpoint: {len(missing)} variables{_some(missing)}")
    if left:
        print(f"  not used: {len(left)} arrays{_some(left)}")
    print(f"Wrote {options.output}, {size / 1e6:.1f} MB.")


def _check_kind(source: Source, options):
    """Refuses a file of another kind and names the sources whose kind it is.

    Raises:
      OptionError: If the file is not there, or not of the source's kind.
    """
    path = options.input
    if not os.path.isfile(path) and not os.path.exists(path + ".index"):
        raise OptionError(
            f"--input={path} is neither a file nor the prefix of a checkpoint; pass one of them."
        )
    if source.fits(path):
        return
    fitting = [name for name, other in sorted(foreign.SOURCES.items()) if other.fits(path)]
    raise OptionError(
        f"--input={path} is no {source.description}; by its content "
        + (f"--source may be {', '.join(fitting)}." if fitting else "it fits no --source.")
    )


def _channels(found, built) -> int:
    """Returns the number of channels of the classifier in a file, 1 if it has none."""
    arrays = [found.get(f"{built.classifiers[0]}/{last}") for last in ("weights", "biases")]
    return max([1, *(array.shape[-1] for array in arrays if array is not None and array.ndim)])


def _built(spec, channels: int) -> Network:
    """Returns the network with a number of channels and all of its heads."""
    with tf.Graph().as_default():
        mode = layers.Mode(builds_auxiliary=True)
        images = tf.zeros([1, _SIZE, _SIZE, spec.options.input_channels])
        network.build(images, spec, channels, mode, crop_size=(_SIZE, _SIZE))
        return foreign.network_of(spec, network.variables())


def _missing(found, built, spec, path) -> list:
    """Returns the variables of heads that are missing as a whole.

    Raises:
      UserError: If any other variable is missing.
    """
    record = network.architecture(spec)
    missing = [name for name in built.shapes if name not in found]
    for scopes in (record.auxiliary_scopes, record.last_layer_scopes()):
        patterns = tuple(scopes)
        head = {name for name in built.shapes if any(re.match(each, name) for each in patterns)}
        if head and not head & set(found):
            missing = [name for name in missing if name not in head]
    if missing:
        raise UserError(
            f"{path} does not hold the whole network; missing are {len(missing)} of "
            f"{len(built.shapes)} variables{_some(missing)}. Nothing was written; pass the options "
            "of its network."
        )
    return [name for name in built.shapes if name not in found]


def _check_shapes(found, built, path):
    """Raises UserError if an array has another shape than in the network."""
    for name, array in found.items():
        if list(array.shape) != built.shapes[name]:
            raise UserError(
                f"{path}: {name} is {list(array.shape)} there and {built.shapes[name]} in the "
                "network. Nothing was written; pass the options of its network."
            )


def _some(names) -> str:
    """Returns ": the first names, and how many more"."""
    shown = ", ".join(names[:_SHOWN])
    return f": {shown}" + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
