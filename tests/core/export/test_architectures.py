"""Exports of every format, for the networks of other systems."""

import numpy as np
import pytest

from core import network as networks
from core.export import exporter
from deployment import backend as backends
from options.device import DeviceOptions
from options.export import ExportOptions
from options.network import NetworkSpec
from tests import small_data, small_exports
from tests.core.export.test_exporter import formats
from tests.golden.hardnet import rules as hardnet_rules
from tests.golden.musket import rules
from tests.golden.refinenet import rules as refinenet_rules
from utils.compat import has_new_tflite_converter, tf

_CLASSES = 3
# What all of them take: multiples of 48 for PSPNet, of 32 where TFLite of TensorFlow 1.15 resizes.
_SIZE = (96, 96)
# Small decoders, with the operations that they have beside those of DeepLab.
_NETWORKS = {
    "unet": {"model_variant": "seresnet18", "unet_decoder_filters": (16, 16, 8, 8, 8)},
    "linknet": {"model_variant": "resnet18_preact", "linknet_decoder_block_type": "transpose"},
    "fpn": {"model_variant": "resnext50_preact", "fpn_pyramid_block_filters": 16},
    "pspnet": {
        "model_variant": "resnet18_preact",
        "pspnet_conv_filters": 16,
        "pspnet_final_interpolation": "duc",
    },
    "refinenet": {"model_variant": "resnet18_refinenet"},
    "fc_hardnet": {"model_variant": "hardnet70", "output_stride": 16},
    "deeplab_keras": {
        "model_variant": "mobilenet_v2_keras",
        "output_stride": 8,
        "depth_multiplier": 0.25,
    },
}


def _checkpoint(folder, spec) -> str:
    """Saves a network with the original's weights by rule; returns the checkpoint's prefix."""
    backbone = spec.options.model_variant.replace("_preact", "")
    with tf.Graph().as_default(), tf.Session() as session:
        networks.build(tf.zeros([1, *_SIZE, 3]), spec, _CLASSES, crop_size=_SIZE)
        if spec.options.architecture == "refinenet":
            refinenet_rules.load_weights(session, spec)
        elif spec.options.architecture == "fc_hardnet":
            hardnet_rules.load_weights(session)
        else:
            rules.load(session, backbone, "final_conv")
        saver = tf.train.Saver(save_relative_paths=True)
        return saver.save(session, str(folder / "model.ckpt-1"), write_meta_graph=False)


def _formats(spec) -> list:
    """Returns the formats that this TensorFlow can write."""
    names = [name for name in formats() if name != "tflite_int8"]
    if "resnext" in spec.options.model_variant and not has_new_tflite_converter():
        # TensorFlow 1.15 writes no readable float16 file of kernels that are computed.
        return [name for name in names if not name.startswith("tflite")]
    return names


@pytest.mark.parametrize(
    "architecture",
    [
        name if name == "pspnet" else pytest.param(name, marks=pytest.mark.slow)
        for name in _NETWORKS
    ],
)
def test_every_format_agrees_with_the_checkpoint(architecture, tmp_path):
    options = {"output_stride": 32, **_NETWORKS[architecture]}
    spec = NetworkSpec.of(architecture=architecture, **options)
    network = small_exports.network(spec, _SIZE, _CLASSES)
    images = [small_data.pixels(seed, *_SIZE).astype(np.uint8) for seed in range(2)]
    checkpoint = _checkpoint(tmp_path, spec)
    described = exporter.run(
        network,
        checkpoint_path=checkpoint,
        export_options=ExportOptions(
            checkpoint_path=checkpoint,
            export_path=str(tmp_path / "out" / "net.pb"),
            format=_formats(spec),
        ),
        samples=exporter.Samples(images, "noise"),
        representative=None,
        backend=backends.create(DeviceOptions(device="cpu")),
    )
    for name, entry in described["artifacts"].items():
        assert entry["check"]["done"], name
