"""Recalibrated batch norm has the statistics of the whole population, and nothing else changes."""

import numpy as np
import pytest

from core import layers, network
from core.checkpoints import files, restore
from core.training import recalibration
from deployment import backend as backends
from options.device import DeviceOptions
from tests.small_losses import classes_of
from tests.small_steps import config_of
from utils.compat import tf
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

CLASSES = 3
SMALL = {"model_variant": "mobilenet_v2", "depth_multiplier": 0.1, "output_stride": 8}
DEEPLAB = {**SMALL, "aspp_convs_filters": 4}
EMA = "/ExponentialMovingAverage"


class _Images:
    """Stands for a data set: gives the same batches again and again."""

    classes = classes_of("multiclass", CLASSES)

    def __init__(self, batches):
        self._batches = batches

    def train_batches(self, **unused_arguments):
        return tf.data.Dataset.from_tensor_slices({"image": self._batches}).repeat()


def _batches(count, images=4, side=33):
    random = np.random.RandomState(1)
    return random.uniform(0, 255, [count, images, side, side, 3]).astype(np.float32)


def _save(config, prefix, **more):
    """Writes random weights of a network; returns them."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        mode = layers.Mode(builds_auxiliary=True)
        network.build(tf.zeros([1, 96, 96, 3]), config.spec, CLASSES, mode, crop_size=(96, 96))
        session.run(tf.global_variables_initializer())
        variables = network.variables()
        values = dict(zip((item.op.name for item in variables), session.run(variables)))
    values.update(more, global_step=np.int64(7))
    files.write_arrays(values, str(prefix))
    return values


def _recalibrated(config, prefix, batches, **settings):
    backend = backends.create(DeviceOptions(device="cpu"))
    arguments = {"keep": (), "batches": len(batches), "averaged": False, **settings}
    return recalibration.recalibrate(str(prefix), config, _Images(batches), backend, **arguments)


def _logits(config, tensors, images, mode):
    with tf.Graph().as_default(), tf.Session() as session:
        size = images.shape[1:3]
        outputs = network.build(tf.constant(images), config.spec, CLASSES, mode, crop_size=size)
        logits = [item for item, _ in outputs.supervised.values()]
        variables = network.variables()
        starts = {item.initializer.inputs[1]: tensors[item.op.name] for item in variables}
        session.run([item.initializer for item in variables], starts)
        return session.run(logits)


@pytest.mark.once
def test_a_population_is_that_of_all_values():
    values = np.random.RandomState(0).standard_normal((60, 3)) + np.array([0.0, 1e4, -3.0])
    population = recalibration.Population()
    for part in np.split(values, [7, 8, 40]):
        population.add(len(part), part.mean(0), part.var(0))
    np.testing.assert_allclose(population.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(population.variance, values.var(0), rtol=1e-7)


OTHERS = [
    {"architecture": "unet", "model_variant": "resnet18_preact", "output_stride": 32},
    {"architecture": "fpn", "model_variant": "resnet18_preact", "output_stride": 32},
    {"architecture": "linknet", "model_variant": "resnet18_preact", "output_stride": 32},
    {"architecture": "pspnet", "model_variant": "resnet18_preact", "output_stride": 32},
    {"architecture": "refinenet", "model_variant": "resnet18_refinenet", "output_stride": 32},
    {"architecture": "fcn", "model_variant": "resnet18_torch"},
    {"architecture": "deeplab_torch", "model_variant": "resnet18_torch"},
    {"architecture": "deeplab_keras", "model_variant": "mobilenet_v2_keras", "output_stride": 8},
    {"architecture": "fc_hardnet", "model_variant": "hardnet70"},
]
ARCHITECTURES = [DEEPLAB, *(pytest.param(item, marks=pytest.mark.slow) for item in OTHERS)]


def test_counts_of_large_images_do_not_overflow():
    population = recalibration.Population()
    for mean in (0.0, 2.0):
        population.add(np.int32(100_000), [mean], [0.0])
    assert (population.count, population.mean, population.variance) == (200_000, [1.0], [1.0])


@pytest.mark.parametrize("options", ARCHITECTURES)
def test_inference_with_the_statistics_of_one_batch_equals_training_on_it(options, tmp_path):
    side = 33 if options is DEEPLAB else 96
    config, batches = config_of(**options), _batches(1, side=side)
    _save(config, tmp_path / "model.ckpt")
    tensors = _recalibrated(config, tmp_path / "model.ckpt", batches).tensors
    training = layers.Mode(
        is_training=True,
        fine_tune_batch_norm=True,
        device=layers.DeviceLayers(dropout=lambda inputs, unused_keep_prob: inputs),
    )
    trained = _logits(config, tensors, batches[0], training)
    inferred = _logits(config, tensors, batches[0], layers.Mode(builds_auxiliary=True))
    assert len(trained) == len(inferred)
    for expected, found in zip(trained, inferred):
        scale = np.abs(expected).max()
        assert scale > 0
        # Rounding grows from layer to layer with random weights; the deepest network has 70.
        share = 1e-2 if options.get("architecture") == "fc_hardnet" else 2e-3
        np.testing.assert_allclose(found, expected, atol=share * scale)


@pytest.mark.once
def test_several_batches_are_one_population_where_nothing_is_normalized_before(tmp_path):
    config, batches = config_of(**DEEPLAB), _batches(3)
    before = _save(config, tmp_path / "model.ckpt")
    at_once = batches.reshape([1, -1, *batches.shape[2:]])
    many = _recalibrated(config, tmp_path / "model.ckpt", batches)
    one = _recalibrated(config, tmp_path / "model.ckpt", at_once)
    for part in ("moving_mean", "moving_variance"):
        name = f"MobilenetV2/Conv/BatchNorm/{part}"
        np.testing.assert_allclose(many.tensors[name], one.tensors[name], rtol=1e-4, atol=1e-6)
    assert set(many.tensors) == set(before)
    for name, value in before.items():
        is_statistic = name.endswith(("moving_mean", "moving_variance"))
        assert np.array_equal(value, many.tensors[name]) != is_statistic, name
    largest = max(change.shift for change in many.changes)
    assert largest > 0
    assert f"{len(many.changes)} batch norms over 3 batches of" in many.report()


@pytest.mark.once
def test_averages_are_recalibrated_for_the_averaged_weights(tmp_path):
    config, batches = config_of(**DEEPLAB), _batches(2)
    weights, mean = "MobilenetV2/Conv/weights", "MobilenetV2/Conv/BatchNorm/moving_mean"
    values = _save(config, tmp_path / "plain")
    ema = {f"{name}{EMA}": 2.0 * values[name] + 1.0 for name in (weights, mean)}
    _save(config, tmp_path / "model.ckpt", **ema)
    result = _recalibrated(config, tmp_path / "model.ckpt", batches, averaged=True).tensors
    for name, value in values.items():
        np.testing.assert_array_equal(result[name], value, err_msg=name)
    np.testing.assert_array_equal(result[weights + EMA], ema[weights + EMA])
    files.write_arrays({**values, weights: ema[weights + EMA]}, str(tmp_path / "averaged"))
    expected = _recalibrated(config, tmp_path / "averaged", batches).tensors
    np.testing.assert_allclose(result[mean + EMA], expected[mean], rtol=1e-5)


@pytest.mark.once
def test_what_is_kept_stays_and_what_matches_nothing_is_refused(tmp_path):
    config, batches = config_of(**DEEPLAB), _batches(1)
    before = _save(config, tmp_path / "model.ckpt")
    result = _recalibrated(config, tmp_path / "model.ckpt", batches, keep=("backbone",))
    changed = {
        name for name, value in before.items() if not np.array_equal(value, result.tensors[name])
    }
    assert changed
    assert not any(name.startswith("MobilenetV2/") for name in changed)
    assert result.kept
    assert all(layer.startswith("MobilenetV2/") for layer in result.kept)
    for keep in ("block9", "auxiliary"):
        with pytest.raises(OptionError, match=f"--keep={keep}"):
            _recalibrated(config, tmp_path / "model.ckpt", batches, keep=(keep,))
    with pytest.raises(UserError, match="no batch norm is left"):
        _recalibrated(config, tmp_path / "model.ckpt", batches, keep=("backbone", "head"))
    assert restore.step_of(str(tmp_path / "model.ckpt")) == 7
