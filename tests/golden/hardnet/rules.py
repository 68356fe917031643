"""The rule that makes FC-HarDNet's weights, by the names of its state dict."""

from __future__ import annotations

import zlib

import numpy as np

from options.network import NetworkSpec
from utils.compat import tf

BACKBONE = "hardnet70"
# Batch norm of the decoder moves as that of the backbone.
SPEC = NetworkSpec.of(architecture="fc_hardnet", model_variant=BACKBONE, batch_norm_decay=0.9)
CLASSES = 19
IGNORE_LABEL = 250
# The output's samples are every eighth row and column.
STEP = 8

_FACTORS = {"finalConv.weight": 0.5}
_LAST_PARTS = {
    "weights": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def entry_of(variable_name: str) -> str:
    """Returns the name that a variable has in the state dict."""
    *scopes, last = variable_name.split("/")
    return ".".join([*(scopes[1:] if scopes[0] == BACKBONE else scopes), _LAST_PARTS[last]])


def entry_value(name: str, shape, salt: str = "") -> np.ndarray:
    """Returns the float32 value of an entry of the state dict, in PyTorch's order."""
    normal = np.random.RandomState(zlib.crc32((salt + name).encode())).standard_normal(shape)
    if len(shape) == 4:
        value = normal * 1.6 / np.sqrt(np.prod(shape[1:])) * _FACTORS.get(name, 1.0)
    elif name.endswith(".weight"):
        value = 1.0 + 0.1 * normal
    elif name.endswith(".running_var"):
        value = 1.0 + 0.1 * np.abs(normal)
    else:
        value = 0.1 * normal
    return value.astype(np.float32)


def as_entry(value: np.ndarray) -> np.ndarray:
    """Returns a value of ours in PyTorch's order."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value


def as_variable(value: np.ndarray) -> np.ndarray:
    """Returns a value in PyTorch's order in ours."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def load_weights(session: tf.Session, salt: str = ""):
    """Fills the model variables of the session's graph by rule."""
    values = {}
    for variable in tf.model_variables():
        shape = as_entry(np.empty(variable.shape.as_list(), np.bool_)).shape
        value = entry_value(entry_of(variable.op.name), shape, salt)
        values[variable.initializer.inputs[1]] = as_variable(value)
    session.run([variable.initializer for variable in tf.model_variables()], values)


def samples(values) -> np.ndarray:
    """Returns eight values of each array, evenly spread in the order of memory."""
    return np.array(
        [
            [value.reshape(-1)[index * (value.size - 1) // 7] for index in range(8)]
            for value in values
        ],
        np.float32,
    )


def norms(values) -> np.ndarray:
    """Returns the Euclidean norm of each array."""
    return np.array([np.linalg.norm(np.asarray(value, np.float64).ravel()) for value in values])
