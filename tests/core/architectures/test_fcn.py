"""FCN and DeepLabV3 of torchvision: what their auxiliary head adds to training."""

import numpy as np
import pytest

from core import layers, network
from core.architectures import MERGED
from core.checkpoints import restore
from core.training import groups
from options.network import NetworkSpec
from options.optimizer import OptimizerOptions
from utils.compat import tf

_ARCHITECTURES = ("fcn", "deeplab_torch")
_TRAINS = layers.Mode(is_training=True, fine_tune_batch_norm=True)
_SIZE = (33, 49)


def _spec(architecture, **changes):
    return NetworkSpec.of(
        architecture=architecture, model_variant="resnet18_torch", output_stride=8, **changes
    )


def _build(spec, mode=layers.INFERENCE):
    return network.build(tf.zeros([2, *_SIZE, 3]), spec, 3, mode, crop_size=_SIZE)


def _names():
    return [variable.op.name for variable in tf.model_variables()]


pytestmark = pytest.mark.parametrize("architecture", _ARCHITECTURES)


def test_training_supervises_an_auxiliary_head_with_half_the_weight(architecture):
    outputs = _build(_spec(architecture), _TRAINS).supervised
    assert {name: weight for name, (_, weight) in outputs.items()} == {MERGED: 1.0, "aux": 0.5}
    assert outputs["aux"][0].shape.as_list() == outputs[MERGED][0].shape.as_list()


def test_the_weight_of_the_auxiliary_loss_is_an_option(architecture):
    spec = _spec(architecture, **{f"{architecture}_aux_loss_weight": 0.25})
    assert _build(spec, _TRAINS).supervised["aux"][1] == 0.25


def test_inference_has_an_auxiliary_head_only_if_asked(architecture):
    assert list(_build(_spec(architecture)).supervised) == [MERGED]
    assert not [name for name in _names() if name.startswith("aux_classifier/")]
    asked = _build(_spec(architecture), layers.Mode(builds_auxiliary=True)).supervised
    assert list(asked) == [MERGED, "aux"]


def test_with_weight_zero_there_is_no_auxiliary_head(architecture):
    spec = _spec(architecture, **{f"{architecture}_aux_loss_weight": 0.0})
    assert list(_build(spec, _TRAINS).supervised) == [MERGED]
    assert not [name for name in _names() if name.startswith("aux_classifier/")]


def test_the_auxiliary_head_learns_ten_times_as_fast(architecture):
    record = network.architecture(_spec(architecture))
    options = OptimizerOptions(learning_rate_multiplier=(".*/biases=2",))
    names = ("resnet18_torch/conv1/weights", "classifier/4/biases", "aux_classifier/4/biases")
    factors = groups.rate_multipliers(names, options, record)
    assert factors == {"classifier/4/biases": 2.0, "aux_classifier/4/biases": 20.0}


def test_weights_without_an_auxiliary_head_start_a_training_that_has_one(architecture, monkeypatch):
    spec = _spec(architecture)
    with tf.Graph().as_default():
        _build(spec)
        stored = {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}
    _build(spec, _TRAINS)
    monkeypatch.setattr(restore, "shapes", lambda unused_path: stored)
    record = network.architecture(spec)
    matched = restore.match_initial(
        "checkpoint",
        tf.model_variables(),
        record.last_layer_scopes(),
        record.classifier_scopes,
        True,
        record.auxiliary_scopes,
    )
    assert matched.new
    assert all(name.startswith("aux_classifier/") for name in matched.new)
    assert {variable.op.name for variable in matched.loaded} == set(stored)


def test_the_classifier_starts_as_in_torchvision(architecture):
    tf.set_random_seed(1)
    _build(_spec(architecture))
    variables = [v for v in tf.model_variables() if v.op.name.startswith("classifier/4/")]
    with tf.Session() as session:
        session.run([variable.initializer for variable in variables])
        kernel, biases = session.run(variables)
    bound = 1.0 / np.sqrt(kernel.shape[2])
    assert 0.9 * bound < np.abs(kernel).max() <= bound
    assert np.abs(biases).min() > 0.0
    assert np.abs(biases).max() <= bound
