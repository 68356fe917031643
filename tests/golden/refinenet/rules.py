"""From a configuration of the RefineNet system to a network of this project, and its weights."""

from __future__ import annotations

import re
import zlib

import numpy as np

from core import network
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

FORMS = ("corrected", "original")

_LAST_PARTS = {"weights": "kernel", "biases": "bias"}
_STEM = re.compile(r"backbone/(conv1_bn|layer0/bn)/(moving_mean|moving_variance)$")


def spec_of(config: dict, form: str) -> NetworkSpec:
    """Returns the network of a configuration.

    Raises:
      OptionError: If a key is unknown, or a value is refused.
    """
    settings = dict(config.get("refine_net_kwargs", {}))
    options = {
        "refinenet_reduce_channel_scale": settings.pop("reduce_channel_scale", 4),
        **{
            f"refinenet_{part}_{key}": value
            for part in ("rcu", "mrf", "crp")
            for key, value in settings.pop(f"{part}_kwargs", {}).items()
        },
    }
    if settings:
        raise OptionError(f"refine_net_kwargs: {', '.join(settings)} is not known.")
    return NetworkSpec.of(
        architecture="refinenet",
        model_variant=_backbone(config),
        normalization="none",
        output_stride=_output_stride(config),
        refinenet_blocks=[",".join(names) for names in config["refine_net_blocks"]],
        refinenet_raw_mrf_inputs=form == "original",
        **options,
    )


def _backbone(config) -> str:
    if config["pretrained"]:
        return config["backbone"].lower() + "_keras"
    return config["backbone"] + "_refinenet"


def _output_stride(config) -> int:
    dilations = tuple(
        config.get("backbone_kwargs", {}).get("replace_stride_with_dilation", [False] * 3)
    )
    strides = {(False,) * 3: 32, (False, False, True): 16, (False, True, True): 8}
    if dilations not in strides:
        raise OptionError(f"replace_stride_with_dilation {dilations} has no output stride.")
    return strides[dilations]


def name_of(variable, spec: NetworkSpec) -> str:
    """Returns the name that the golden README has for a variable."""
    scope = network.backbone(spec.options).scope + "/"
    name = variable.op.name
    layer, last = name.rsplit("/", 1)
    if name.startswith(scope):
        layer = "backbone/" + layer[len(scope) :]
    return f"{layer}/{_LAST_PARTS.get(last, last)}"


def load_weights(session: tf.Session, spec: NetworkSpec, salt: str = ""):
    """Fills the network of the session's graph by rule; other variables have initial values."""
    model, values = set(network.variables()), {}
    variables = tf.global_variables()
    for variable in variables:
        if variable in model:
            name = name_of(variable, spec)
            value = _value(name, variable.shape.as_list(), salt, _last_norm(spec))
            values[variable.initializer.inputs[1]] = value
    session.run([variable.initializer for variable in variables], values)


def _last_norm(spec) -> str:
    """Returns how the names of the last batch norms of residual branches end."""
    if spec.options.model_variant.endswith("_keras"):
        return "_3_bn/gamma"
    is_basic = spec.options.model_variant.startswith(("resnet18", "resnet34"))
    return "/bn2/gamma" if is_basic else "/bn3/gamma"


def _value(name, shape, salt, last_norm):
    last = name.rsplit("/", 1)[-1]
    seed = zlib.crc32((salt + name).encode("utf-8"))
    normal = np.random.RandomState(seed).standard_normal(tuple(shape))
    if last == "kernel":
        axes = tuple(range(normal.ndim - 1))
        factor = {"backbone": 1.3, "head": 5.0}.get(name.split("/")[0], 1.0)
        value = (normal - normal.mean(axis=axes)) * factor / np.sqrt(np.prod(shape[:-1]))
    elif last == "gamma":
        value = (1.0 + 0.1 * normal) * (0.25 if name.endswith(last_norm) else 1.0)
    elif last == "moving_variance":
        value = 1.0 + 0.1 * np.abs(normal)
    else:
        value = 0.1 * normal
    stem = _STEM.match(name)
    if stem:
        value = value * (64.0 if stem.group(2) == "moving_mean" else 4096.0)
    return value.astype(np.float32)


def multi_label(seed: int, height: int, width: int, classes: int) -> np.ndarray:
    """Returns labels int32 [height, width, classes] of 0 and 1, in cells of 8x8."""
    random = np.random.RandomState(seed)
    cells = random.randint(0, 3, size=(-(-height // 8), -(-width // 8), classes)) == 0
    return cells.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].astype(np.int32)


def labels(specifications) -> np.ndarray:
    """Returns int32 [N, h, w, classes]; a specification is `["multi_label", seed, h, w, n]`."""
    return np.stack([multi_label(*item[1:]) for item in specifications])


def samples(value: np.ndarray) -> list:
    """Returns eight values, from the first to the last."""
    return [float(value.flat[index * (value.size - 1) // 7]) for index in range(8)]
