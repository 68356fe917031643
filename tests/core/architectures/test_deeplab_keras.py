import numpy as np
import pytest

from core import network
from core.inference import tta
from core.task import TASKS
from options.network import NetworkSpec
from tests.golden.logits import load_weights
from utils.compat import tf
from utils.errors import OptionError

_SIZE = (65, 97)


def _spec(**changes):
    values = {"model_variant": "mobilenet_v2_keras", "output_stride": 8, "depth_multiplier": 0.25}
    return NetworkSpec.of(architecture="deeplab_keras", **{**values, **changes})


def _images():
    values = np.random.RandomState(3).uniform(0, 255, (1, *_SIZE, 3))
    return tf.constant(values, tf.float32)


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_variant": "mobilenet_v2"}, "mobilenet_v2, but .* mobilenet_v2_keras or xception_"),
        ({"output_stride": 16}, "--output_stride is 16, .* mobilenet_v2_keras can do 8"),
        (
            {"model_variant": "xception_keras", "output_stride": 32, "depth_multiplier": 1.0},
            "--output_stride is 32, .* xception_keras can do 8 or 16",
        ),
        (
            {"prediction_with_upsampled_logits": False},
            "--noprediction_with_upsampled_logits has no",
        ),
        ({"model_variant": "xception_keras"}, "--depth_multiplier has no effect on xception_keras"),
    ],
)
def test_what_the_original_cannot_build_or_has_no_effect_is_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        network.check(_spec(**changes))


def test_mobilenet_ends_before_its_last_convolution():
    network.build(_images(), _spec(), 3)
    names = {variable.op.name for variable in tf.model_variables()}
    assert "mobilenet_v2_keras/block_16_project_BN/gamma" in names
    assert not any("Conv_1" in name for name in names)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0)])
def test_probabilities_are_resized_and_then_decided(task, scales):
    task, expected = TASKS[task], 0.0
    for scale in scales:
        spec = _spec(image_pyramid=(scale,))
        logits = network.build(_images(), spec, 3, crop_size=_SIZE).logits
        expected += tf.image.resize_bilinear(task.activate(logits), _SIZE, align_corners=True)
    prediction = tta.predict(
        _images(), _spec(), 3, task=task, threshold=0.5, scales=scales, crop_size=_SIZE
    )
    with tf.Session() as session:
        load_weights(session)
        expected, (labels, probabilities) = session.run([expected / len(scales), prediction])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(
        labels, expected.argmax(-1) if labels.ndim == 3 else expected > 0.5
    )
