"""Weights by rule from the names of the original's layers, and images by rule.

Our variables have the names of the original's layers, in the scope of their part of the network;
only their last parts differ. A kernel in groups is several layers in the original.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

from core.checkpoints.convert import keras
from tests.golden import rules
from utils.compat import tf

_LAST = {"weights": "kernel", "biases": "bias", "depthwise_weights": "depthwise_kernel"}

# Backbone -> number of groups of its 3x3 convolutions.
_GROUPS = {"resnext50": 32, "resnext101": 32, "seresnext50": 32, "seresnext101": 32, "senet154": 64}

# Of all backbones: what a name looks like, and its factor.
_FACTORS = (
    (r"project_BN/gamma$", 0.4),
    (r"_pointwise/kernel$", 0.5),
    (r"^middle_flow_unit_\d+_separable_conv3_pointwise_BN/gamma$", 0.25),
)
_UNIT = r"^stage\d+_unit\d+_"
# Backbone -> the same, of these only.
_FACTORS_OF_BACKBONES = {
    **dict.fromkeys(
        ("resnet18", "resnet34", "seresnet18", "seresnet34"), (_UNIT + "conv2/kernel$", 0.4)
    ),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152"), (_UNIT + "conv3/kernel$", 0.4)),
    **dict.fromkeys(("resnext50", "resnext101"), (_UNIT + "bn3/gamma$", 0.4)),
}

_CLASSIFIER_OF_DEEPLAB = "logits_semantic"


def arrays_of(variables, backbone: str, classifier: str | None) -> dict:
    """Returns variable -> list of the (name, shape) of the original's arrays that it stands for.

    Args:
      variables: Those of the network, in the order in which they were made.
      backbone: The original's name of the backbone.
      classifier: The original's name of the last layer, or None if Keras numbers it.
    """
    layers = [_split(variable.op.name) for variable in variables]
    if classifier is None:
        classifier = f"conv2d_{1 + _numbered(layers, variables, backbone)}"
    found = {}
    for variable, (layer, last) in zip(variables, layers):
        layer = classifier if layer == "semantic" else _original(layer, classifier)
        parts = _parts(layer, variable.shape.as_list(), backbone)
        found[variable] = [(f"{name}/{last}", shape) for name, shape in parts]
    return found


def values(variables, backbone: str, classifier: str | None, salt: str = "") -> dict:
    """Returns variable -> value by rule; see `arrays_of`. The salt goes before the names."""
    arrays = arrays_of(variables, backbone, classifier)
    names = [name for parts in arrays.values() for name, _ in parts]
    first = None
    if "bn_data/beta" not in names:
        first = next(name for name in names if name.endswith("/kernel"))
    found = {}
    for variable, parts in arrays.items():
        each = [array_value(name, shape, backbone, salt) for name, shape in parts]
        found[variable] = np.concatenate(each, -1) / (64 if parts[0][0] == first else 1)
    return found


def load(session: tf.Session, backbone: str, classifier: str | None, salt: str = ""):
    """Initializes the variables of the session's graph by rule."""
    variables = tf.global_variables()
    given = values(variables, backbone, classifier, salt)
    feeds = {variable.initializer.inputs[1]: value for variable, value in given.items()}
    session.run([variable.initializer for variable in variables], feeds)


def _split(name) -> tuple[str, str]:
    """Returns the original's name of a variable's layer, and the last part of the variable's."""
    # The first part is the scope of the backbone or decoder; the original's names may have slashes.
    _, layer, last = re.match(r"(\w+)/(.+)/(\w+)$", name).groups()
    return layer, _LAST.get(last, last)


def _original(layer, classifier) -> str:
    """Returns the name of a layer in the network that ends in a classifier."""
    if classifier.endswith(_CLASSIFIER_OF_DEEPLAB):
        return keras.name_in_deeplab(layer)
    return layer


def _numbered(names, variables, backbone) -> int:
    """Returns the largest number that Keras gives a convolution of the backbone."""
    numbers = [0]
    for (layer, _), variable in zip(names, variables):
        last, _ = _parts(layer, variable.shape.as_list(), backbone)[-1]
        match = re.match(r"conv2d_(\d+)$", last)
        numbers.append(int(match.group(1)) if match else 0)
    return max(numbers)


def _parts(layer, shape, backbone) -> list:
    """Returns the (name, shape) of the original's layers that a variable stands for."""
    groups, match = _GROUPS.get(backbone), re.match(r"conv2d_(\d+)$", layer)
    is_grouped = (
        groups and match and shape[:2] == [3, 3] and shape[2] * groups in (shape[3], shape[3] // 2)
    )
    if not is_grouped:
        return [(layer, shape)]
    first, part = int(match.group(1)), [*shape[:3], shape[3] // groups]
    return [(f"conv2d_{first + number}", part) for number in range(groups)]


def array_value(name, shape, backbone: str, salt: str = "") -> np.ndarray:
    """Returns the value of an array by rule, before the first kernel is divided by 64."""
    value = _unscaled(name, shape, salt)
    for pattern, factor in (*_FACTORS, _FACTORS_OF_BACKBONES.get(backbone, (r"$^", 1.0))):
        if re.search(pattern, name):
            value = value * factor
    if name == "bn_data/moving_mean":
        value = 128 + 64 * value
    if name == "bn_data/moving_variance":
        value = 4096 * value
    return value.astype(np.float32)


def _unscaled(name, shape, salt) -> np.ndarray:
    seed = zlib.crc32((salt + name).encode("utf-8"))
    noise, last = np.random.RandomState(seed).standard_normal(shape), name.rsplit("/", 1)[1]
    if last == "kernel":
        noise = noise - noise.mean(axis=tuple(range(len(shape) - 1)))
        return noise * 1.7 / np.sqrt(np.prod(shape[:-1]))
    if last == "depthwise_kernel":
        return noise * 1.7 / np.sqrt(np.prod(shape[:2]))
    if last == "gamma":
        return 1 + 0.1 * noise
    if last == "moving_variance":
        return 1 + 0.1 * np.abs(noise)
    return 0.1 * noise


def images(specifications) -> np.ndarray:
    """Returns a batch float32 [N, h, w, channels] with integer values 0..255.

    Args:
      specifications: One list for each image: kind, seed, height, width, and the number of channels
        if it is not 3.
    """
    makers = {"noise": rules.noise_image, "tinted": rules.tinted_image}
    return np.stack([makers[item[0]](*item[1:]) for item in specifications]).astype(np.float32)
