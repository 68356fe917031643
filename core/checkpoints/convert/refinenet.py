"""Checkpoints of the RefineNet system: TensorFlow 2's object-based format, written by Keras.

Their keys are paths through Keras' objects, `layer_with_weights-0/layer_with_weights-2/kernel`:
numbers of layers, not names. First comes the backbone, then the blocks, last the classifier. The
names of the backbone's layers follow from the structure that the keys show.
"""

from __future__ import annotations

import collections
import os
import re

from core import network
from core.backbones import resnet_refinenet
from core.checkpoints import restore
from core.checkpoints.convert import Source
from utils.errors import UserError

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_LAYER = "layer_with_weights-"
_LAST_PARTS = {"kernel": "weights", "bias": "biases"}

# Layers of the units of Keras' ResNets, in Keras' order.
_FIRST_UNIT = ("1_conv", "1_bn", "2_conv", "2_bn", "0_conv", "3_conv", "0_bn", "3_bn")
_OTHER_UNIT = ("1_conv", "1_bn", "2_conv", "2_bn", "3_conv", "3_bn")
_KERAS = ("resnet50_keras", "resnet101_keras", "resnet152_keras")

# Layers of a block and of the fresh ResNets, as they are called in keys -> function of the match
# that gives the scope.
_BLOCK_LAYERS = {
    r"rcu_block_(\d+)/down_sample": lambda m: f"rcu{m[1]}/down_sample",
    r"rcu_block_(\d+)/rcu_block/layer-(\d+)": lambda m: f"rcu{m[1]}/conv{int(m[2]) // 2}",
    r"mrf/(conv|deconv)_(\d+)": lambda m: f"mrf/{m[1]}{m[2]}",
    r"crp/pool_block_(\d+)/layer-1": lambda m: f"crp/conv{m[1]}",
    r"rcu_final/rcu_block/layer-(\d+)": lambda m: f"rcu_final/conv{int(m[1]) // 2}",
}
_FRESH_LAYERS = {
    r"0/layer-(0|1)": lambda m: f"layer0/{('conv', 'bn')[int(m[1])]}",
    r"(\d+)/layer-(\d+)/downsample/layer-(0|1)": lambda m: (
        f"layer{m[1]}/{m[2]}/downsample/{('conv', 'bn')[int(m[3])]}"
    ),
    r"(\d+)/layer-(\d+)/((?:conv|bn)\d)": lambda m: f"layer{m[1]}/{m[2]}/{m[3]}",
}


def convert(path: str, model_variant: str | None = None) -> dict:
    """Returns variable name -> array of a checkpoint of the RefineNet system.

    Args:
      path: Prefix of the checkpoint.
      model_variant: Backbone whose scope is used; None: the smallest that has these layers.

    Raises:
      UserError: If the checkpoint is not of that system, or not of that backbone.
    """
    opened = restore.reader(path)
    keys = [key for key in opened.get_variable_to_shape_map() if key.endswith(_SUFFIX)]
    with restore.reading(path):
        return {
            name: opened.get_tensor(key + _SUFFIX)
            for key, name in names_of(
                [key[: -len(_SUFFIX)] for key in keys], path, model_variant
            ).items()
        }


def names_of(keys, path: str, model_variant: str | None = None) -> dict:
    """Returns key -> variable name; see `convert`.

    Args:
      keys: All keys of the checkpoint, without what TensorFlow adds.
      path: For messages.
      model_variant: As in `convert`.
    """
    keys = sorted(key for key in keys if key.startswith(_LAYER) and "/.OPTIMIZER_SLOT" not in key)
    layers = {key.rsplit("/", 1)[0] for key in keys}
    parts = sorted({int(layer[len(_LAYER) :].split("/")[0]) for layer in layers})
    if len(parts) < 3 or f"{_LAYER}{parts[-1]}" not in layers:
        raise UserError(
            f"checkpoint {path} is not of the RefineNet system: it has no backbone, blocks and "
            "classifier."
        )
    inside = {layer.split("/", 1)[1] for layer in layers if layer.startswith(f"{_LAYER}0/")}
    scopes, variants = _backbone_scopes(inside, keys)
    scope = _chosen(variants, model_variant, path)
    named = {f"{_LAYER}0/{layer}": f"{scope}/{name}" for layer, name in scopes.items()}
    for part in parts[1:-1]:
        start = f"{_LAYER}{part}/"
        block = {layer[len(start) :] for layer in layers if layer.startswith(start)}
        found = _renamed(block, _BLOCK_LAYERS)
        named.update({start + layer: f"block{part - 1}/{name}" for layer, name in found.items()})
    named[f"{_LAYER}{parts[-1]}"] = "head"
    unknown = sorted(layers - set(named))
    if unknown:
        raise UserError(
            f"checkpoint {path} is not of the RefineNet system: {unknown[0]} ({len(unknown)} in "
            "all) is no layer of its networks."
        )
    return {key: _name(key, named) for key in keys}


def _name(key, named) -> str:
    layer, last = key.rsplit("/", 1)
    return f"{named[layer]}/{_LAST_PARTS.get(last, last)}"


def _renamed(layers, rules) -> dict:
    """Returns layer -> name of those that a rule fits."""
    found = {}
    for layer in layers:
        for pattern, name in rules.items():
            match = re.fullmatch(pattern, layer)
            if match:
                found[layer] = name(match)
    return found


def _chosen(variants, model_variant, path) -> str:
    """Returns the scope of the backbone."""
    if model_variant is None and variants:
        return network.BACKBONES[variants[0]].scope
    if model_variant in variants:
        return network.BACKBONES[model_variant].scope
    raise UserError(
        f"the backbone of checkpoint {path} is "
        + (f"{' or '.join(variants)}, not {model_variant}." if variants else "not known.")
    )


def _backbone_scopes(layers, keys) -> tuple:
    """Returns layer -> scope in the backbone, and the backbones that have these layers."""
    if f"{_LAYER}0/layer-0" in layers:
        return _fresh_scopes(layers)
    return _keras_scopes(layers, keys)


def _fresh_scopes(layers) -> tuple:
    start = len(_LAYER)
    named = _renamed({layer[start:] for layer in layers}, _FRESH_LAYERS)
    scopes = {_LAYER + layer: name for layer, name in named.items()}
    units = {tuple(name.split("/")[:2]) for name in scopes.values() if name.count("/") > 1}
    counts = collections.Counter(layer for layer, _ in units)
    is_bottleneck = any(name.endswith("/conv3") for name in scopes.values())
    variants = [
        item.scope
        for item in resnet_refinenet.NETWORKS
        if item.is_bottleneck == is_bottleneck
        and all(counts[f"layer{n}"] in (0, count) for n, count in enumerate(item.units, 1))
    ]
    return scopes, variants


def _keras_scopes(layers, keys) -> tuple:
    """Returns what `_backbone_scopes` does, of layers that are only numbered."""
    kernels = {key.rsplit("/", 1)[0] for key in keys if key.endswith("/kernel")}
    names, stage, unit = ["conv1_conv", "conv1_bn"], 1, 0
    units = set()
    while len(names) < len(layers):
        # Only the first unit of a stage has two convolutions in a row, one of the shortcut.
        is_first = f"{_LAYER}0/{_LAYER}{len(names) + 5}" in kernels
        stage, unit = (stage + 1, 1) if is_first else (stage, unit + 1)
        scope = f"conv{stage}_block{unit}"
        units.add(f"{scope}_out")
        names += [f"{scope}_{part}" for part in (_FIRST_UNIT if is_first else _OTHER_UNIT)]
    variants = [name for name in _KERAS if _has_units(name, units, f"conv{stage}_")]
    return {f"{_LAYER}{number}": name for number, name in enumerate(names)}, variants


def _has_units(variant, units, last_stage) -> bool:
    """Whether a backbone has the units, and those before the last stage are all that it has."""
    own = {name for name in network.BACKBONES[variant].named if "_block" in name}
    return units <= own and {name for name in own if name < last_stage} <= units


def _fits(path: str) -> bool:
    return not os.path.isfile(path) and OBJECT_GRAPH in restore.shapes(path)


def _of_network(path: str, built) -> tuple:
    """Returns the arrays of variables, and the names of the others."""
    arrays = convert(path, built.variant)
    found = {name: array for name, array in arrays.items() if name in built.shapes}
    return found, [name for name in arrays if name not in found]


VARIANTS = {
    "refinenet": Source(
        description="checkpoint of the RefineNet system (TensorFlow 2, prefix of its files)",
        fits=_fits,
        convert=_of_network,
    )
}
