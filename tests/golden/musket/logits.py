"""Recomputes a manifest of `musket/logits/`: logits, output, statistics of blocks."""

from __future__ import annotations

import pathlib

import numpy as np

from core import layers, network
from options.network import NetworkSpec
from tests.golden.musket import rules
from utils.compat import tf
from utils.errors import OptionError

# The original's name -> ours.
ARCHITECTURES = {
    "Unet": "unet",
    "Linknet": "linknet",
    "FPN": "fpn",
    "PSPNet": "pspnet",
    "DeepLabV3": "deeplab_keras",
}

# The original's name of a backbone -> ours, where it is not the same with a suffix.
BACKBONES = {
    **{name: name for name in ("vgg16", "vgg19", "seresnet18", "seresnet34", "senet154")},
    "inceptionv3": "inception_v3",
    "inceptionresnetv2": "inception_resnet_v2",
    "mobilenetv2": "mobilenet_v2_keras",
    "xception": "xception_keras",
}
_SUFFIXES = {"resnet": "_preact", "resnext": "_preact"}

# The layer before the last activation; None if Keras numbers it.
_CLASSIFIERS = {"FPN": None}

# Our name of an option, without the architecture's prefix, where the original's differs.
_OPTIONS = {
    "decoder_use_batchnorm": "decoder_use_batch_norm",
    "pyramid_use_batchnorm": "pyramid_use_batch_norm",
    "psp_use_batchnorm": "use_batch_norm",
    "psp_conv_filters": "conv_filters",
    "psp_pooling_type": "pooling_type",
    "psp_dropout": "dropout",
}

_ACTIVATIONS = {
    "sigmoid": tf.sigmoid,
    "softmax": tf.nn.softmax,
    "linear": tf.identity,
    None: tf.identity,
}


def options_of(manifest: dict) -> NetworkSpec:
    """Returns the network of a manifest.

    Raises:
      OptionError: If the architecture, the backbone or an option is unknown.
    """
    original = manifest["architecture"]
    if original not in ARCHITECTURES:
        raise OptionError(f"architecture is {original}; known: {', '.join(ARCHITECTURES)}.")
    architecture = ARCHITECTURES[original]
    given = dict(manifest["options"])
    if original == "PSPNet" and given.get("final_interpolation", "bilinear") == "bilinear":
        # What the original calls bilinear repeats pixels.
        given["final_interpolation"] = "nearest"
    if original == "Linknet" and "decoder_filters" in given:
        given["decoder_filters"] = [filters or 1 for filters in given["decoder_filters"]]
    if original == "DeepLabV3":
        options = _options_of_deeplab(manifest["backbone"], given)
    else:
        names = {key: f"{architecture}_{_OPTIONS.get(key, key)}" for key in given}
        options = {"output_stride": 32, **{names[key]: value for key, value in given.items()}}
    return NetworkSpec.of(
        architecture=architecture,
        model_variant=backbone_of(manifest["backbone"]),
        normalization="none",
        input_channels=manifest["input_shape"][2],
        **options,
    )


def _options_of_deeplab(backbone, given) -> dict:
    if backbone == "xception":
        return {"output_stride": given.get("OS", 16)}
    return {"output_stride": 8, "depth_multiplier": given.get("alpha", 1.0)}


def backbone_of(original: str) -> str:
    """Returns our name of a backbone."""
    family = original.rstrip("0123456789")
    return BACKBONES.get(original, original + _SUFFIXES.get(family, ""))


def classifier_of(manifest: dict) -> str | None:
    """Returns the original's name of the last layer, None if Keras numbers it."""
    if manifest["architecture"] == "DeepLabV3":
        # Under the first name it has published weights.
        return "logits_semantic" if manifest["classes"] == 21 else "custom_logits_semantic"
    return _CLASSIFIERS.get(manifest["architecture"], "final_conv")


def recompute(manifest: dict, unused_folder: pathlib.Path) -> dict:
    """Returns the arrays of a manifest; see the package's docstring."""
    spec, batch = options_of(manifest), rules.images(manifest["images"])
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, batch.shape)
        logits = network.build(images, spec, manifest["classes"], crop_size=batch.shape[1:3]).logits
        output = _ACTIVATIONS[manifest["activation"]](logits)
        if network.architecture(spec).activates_before_resizing:
            output = layers.resize_bilinear(output, batch.shape[1:3])
        fetches = {"logits": logits, "output": output}
        points = _points(graph, manifest.get("points", []))
        with tf.Session() as session:
            rules.load(session, manifest["backbone"], classifier_of(manifest), manifest["salt"])
            arrays, values = session.run([fetches, points], {images: batch})
    arrays = {
        name: value[:, :: manifest[f"{name}_every"], :: manifest[f"{name}_every"]]
        for name, value in arrays.items()
    }
    return {**arrays, **_statistics(len(manifest.get("points", [])), values)}


def _points(graph, points) -> dict:
    """Returns index of a point -> tensor, for the layers that have a scope of their own."""
    operations, found = graph.get_operations(), {}
    for index, (name, _, shape) in enumerate(points):
        outputs = [
            operation.outputs[0]
            for operation in operations
            if f"/{name}/" in operation.name and operation.outputs
        ]
        fitting = [tensor for tensor in outputs if tensor.shape.as_list() == shape]
        if fitting:
            found[index] = fitting[-1]
    return found


def _statistics(count, values) -> dict:
    """Returns the statistics of all points, NaN where there is no value."""
    arrays = {
        "point_mean": np.full(count, np.nan),
        "point_std": np.full(count, np.nan),
        "point_sample": np.full((count, 8), np.nan, np.float32),
    }
    for index, value in values.items():
        arrays["point_mean"][index] = value.mean(dtype=np.float64)
        arrays["point_std"][index] = value.std(dtype=np.float64)
        arrays["point_sample"][index] = [value.flat[i * (value.size - 1) // 7] for i in range(8)]
    return arrays
