"""The template's networks by their manifests, and their weights by rule.

Weights are made in PyTorch's order, from the names of the state dict; the README beside the
manifests states the rules.
"""

from __future__ import annotations

import zlib

import numpy as np

from core import network
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

_ARCHITECTURES = {"fcn": "fcn", "deeplabv3": "deeplab_torch"}
# The last part of our names -> that of the state dict.
_PARTS = {
    "weights": "weight",
    "depthwise_weights": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_CLASSIFIERS = ("classifier.4.weight", "aux_classifier.4.weight")


def spec_of(config: dict, **changes) -> NetworkSpec:
    """Returns the network of a manifest's `config`.

    Args:
      config: Its `arch`, such as fcn_resnet101, says which; `aux` false: without auxiliary head.
      **changes: Further options.

    Raises:
      OptionError: If there is no such network.
    """
    name, _, backbone = config["arch"].partition("_")
    if name not in _ARCHITECTURES:
        raise OptionError(f"arch is {config['arch']}; known: {', '.join(_ARCHITECTURES)}.")
    architecture = _ARCHITECTURES[name]
    weight = 0.5 if config.get("aux", True) else 0.0
    return NetworkSpec.of(
        architecture=architecture,
        model_variant=f"{backbone}_torch",
        output_stride=8,
        batch_norm_decay=0.9,
        **{f"{architecture}_aux_loss_weight": weight},
        **changes,
    )


def entry_name(variable: str, spec: NetworkSpec) -> str:
    """Returns the name that a variable has in the state dict."""
    scope = network.backbone(spec.options).scope + "/"
    if variable.startswith(scope):
        variable = f"backbone/{variable[len(scope) :]}"
    *parts, last = variable.split("/")
    return ".".join([*parts, _PARTS[last]])


def entry_value(name: str, shape, salt: str = "") -> np.ndarray:
    """Returns the float32 value of an entry of the state dict, in PyTorch's order."""
    seed = zlib.crc32((salt + name).encode("utf-8"))
    normal = np.random.RandomState(seed).standard_normal(tuple(shape))
    last = name.rsplit(".", 1)[-1]
    if len(shape) == 4:
        centred = normal - normal.mean(axis=(1, 2, 3), keepdims=True)
        value = centred * 1.3 / np.sqrt(np.prod(shape[1:]))
        value = value * 6.0 if name in _CLASSIFIERS else value
    elif last == "weight":
        value = 1.0 + 0.1 * normal
        value = value * 0.25 if name.endswith(".bn3.weight") else value
    elif last == "running_var":
        value = 1.0 + 0.1 * np.abs(normal)
    else:
        value = 0.1 * normal
    return value.astype(np.float32)


def load_weights(session: tf.Session, spec: NetworkSpec, salt: str = ""):
    """Gives the network's variables their values by rule, all others their initial ones."""
    values = {}
    for variable in network.variables():
        shape = variable.shape.as_list()
        order = [shape[axis] for axis in (3, 2, 0, 1)] if len(shape) == 4 else shape
        value = entry_value(entry_name(variable.op.name, spec), order, salt)
        values[variable.initializer.inputs[1]] = in_our_order(value)
    session.run([variable.initializer for variable in tf.global_variables()], values)


def in_our_order(value: np.ndarray) -> np.ndarray:
    """Returns an entry of the state dict as a variable: kernels [height, width, in, out]."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def in_their_order(value: np.ndarray) -> np.ndarray:
    """Returns a variable as an entry of the state dict: kernels [out, in, height, width]."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
