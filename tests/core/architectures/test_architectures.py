"""What every architecture promises, for whatever stands in core/architectures."""

import functools
import re
from typing import NamedTuple

import numpy as np
import pytest

import options.network
from core import layers, network
from core.architectures import MERGED, Architecture, Outputs
from core.checkpoints import restore
from core.training import freezing
from options.network import NetworkSpec
from options.training import TrainOptions
from tests.golden.logits import load_weights
from utils import variants
from utils.compat import tf
from utils.errors import OptionError

_BACKBONES = ("mobilenet_v2", "resnet_v1_18")
# Of architectures that are built over their own only.
_OWN_BACKBONES = {
    "deeplab_keras": ("mobilenet_v2_keras", "xception_keras"),
    "fc_hardnet": ("hardnet70",),
}
_SLOW_BACKBONES = ("xception_keras",)
_SIZE = (65, 97)
# Of architectures that cannot take every size.
_SIZES = {"pspnet": (48, 96)}
_CHANNELS = 5
_TRAINS = layers.Mode(is_training=True, fine_tune_batch_norm=True)

CASES = [
    pytest.param(
        name,
        backbone,
        id=f"{name}-{backbone}",
        marks=[pytest.mark.slow] if backbone in _SLOW_BACKBONES else [],
    )
    for name in sorted(network.ARCHITECTURES)
    for backbone in _OWN_BACKBONES.get(name, _BACKBONES)
]


def _spec(name, backbone, **changes):
    return NetworkSpec.of(
        architecture=name, model_variant=backbone, **{**_options_of(name), **changes}
    )


def _options_of(name):
    """Returns options that build all parts of an architecture."""
    return {
        "deeplab": {"atrous_rates": (2,), "decoder_output_stride": (4,)},
        "deeplab_keras": {"output_stride": 8},
    }.get(name, {})


def _size(name):
    return _SIZES.get(name, _SIZE)


def _build(spec, channels=_CHANNELS, mode=layers.INFERENCE):
    size = _size(spec.options.architecture)
    return network.build(tf.zeros([2, *size, 3]), spec, channels, mode, crop_size=size)


def _names():
    return [variable.op.name for variable in tf.model_variables()]


def _matching(patterns, names):
    return [name for name in names if any(re.match(pattern, name) for pattern in patterns)]


@functools.lru_cache(maxsize=None)
def _facts(name, backbone):
    """Builds a training graph, once for all tests, and returns what they ask about it."""
    spec = _spec(name, backbone)
    with tf.Graph().as_default():
        outputs = _build(spec, mode=_TRAINS)
        losses = [weight * tf.reduce_sum(logits) for logits, weight in outputs.supervised.values()]
        trainable = tf.trainable_variables()
        gradients = tf.gradients(losses, trainable)
        return _Facts(
            spec,
            {name: (logits.shape.as_list(), w) for name, (logits, w) in outputs.supervised.items()},
            outputs.logits.shape.as_list(),
            tf.model_variables(),
            [v.op.name for v, gradient in zip(trainable, gradients) if gradient is None],
        )


@functools.lru_cache(maxsize=None)
def _shapes_of_other_classes(name, backbone):
    """Returns variable -> shape of the same network with two more classes."""
    with tf.Graph().as_default():
        _build(_spec(name, backbone), _CHANNELS + 2, mode=_TRAINS)
        return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


class _Facts(NamedTuple):
    """A network's supervised outputs, its variables, and those without a gradient."""

    spec: NetworkSpec
    supervised: dict
    shape: list
    variables: list
    without_gradient: list

    @property
    def record(self):
        return network.architecture(self.spec)

    @property
    def shapes(self):
        return {variable.op.name: variable.shape.as_list() for variable in self.variables}


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_logits_have_the_declared_stride_and_the_asked_for_channels(name, backbone):
    facts = _facts(name, backbone)
    expected = [-(-side // network.logits_stride(facts.spec)) for side in _size(name)]
    assert facts.shape == [2, *expected, _CHANNELS]
    for shape, weight in facts.supervised.values():
        assert shape[3] == _CHANNELS
        assert weight > 0.0


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_images_of_unknown_size_give_the_logits_of_the_known_size(name, backbone):
    spec = _spec(name, backbone)
    values = np.random.RandomState(0).uniform(0, 255, (1, *_size(name), 3))
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    dynamic = network.build(images, spec, _CHANNELS).logits
    static = network.build(tf.constant(values, tf.float32), spec, _CHANNELS).logits
    with tf.Session() as session:
        load_weights(session)
        found, expected = session.run([dynamic, static], {images: values})
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_the_losses_reach_every_trainable_variable(name, backbone):
    assert _facts(name, backbone).without_gradient == []


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_every_variable_belongs_to_the_backbone_or_the_head(name, backbone):
    facts = _facts(name, backbone)
    names, scope = list(facts.shapes), network.backbone(facts.spec.options).scope
    of_backbone = [name for name in names if name.startswith(scope + "/")]
    of_head = _matching(facts.record.last_layer_scopes(), names)
    assert sorted(of_backbone + of_head) == sorted(names)
    assert set(facts.record.decoder_scopes) <= set(facts.record.head_scopes)


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_only_the_classifiers_depend_on_the_number_of_classes(name, backbone):
    facts, others = _facts(name, backbone), _shapes_of_other_classes(name, backbone)
    shapes = facts.shapes
    different = [name for name in shapes if shapes[name] != others[name]]
    assert sorted(different) == sorted(_matching(facts.record.classifier_scopes, shapes))
    assert f"{facts.record.classifier}/weights" in different


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_a_training_starts_from_a_checkpoint_of_other_classes(name, backbone, monkeypatch):
    facts, others = _facts(name, backbone), _shapes_of_other_classes(name, backbone)
    monkeypatch.setattr(restore, "shapes", lambda unused_path: others)
    record = facts.record
    assert restore.num_outputs("checkpoint", record.classifier) == _CHANNELS + 2
    matched = restore.match_initial(
        "checkpoint", facts.variables, record.last_layer_scopes(), record.classifier_scopes, True
    )
    assert sorted(matched.new) == sorted(_matching(record.classifier_scopes, facts.shapes))
    assert sorted(row[0] for row in matched.other_classes) == sorted(matched.new)


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_backbone_and_head_can_be_frozen(name, backbone):
    facts = _facts(name, backbone)
    scope = network.backbone(facts.spec.options).scope
    left = {}
    for part in ("backbone", "head"):
        frozen = freezing.Frozen(TrainOptions(freeze=(part,)), scope, facts.record)
        left[part] = {variable.op.name for variable in frozen.trained(facts.variables)}
    assert left["backbone"] | left["head"] == set(facts.shapes)
    assert not left["backbone"] & left["head"]


# What the record offers.


def test_every_record_of_options_belongs_to_an_architecture():
    assert set(options.network.ARCHITECTURES) <= set(network.ARCHITECTURES)


def test_an_unknown_architecture_is_named_with_the_known_ones():
    with pytest.raises(OptionError, match=r"unet3 is not a known --architecture; known: .*deeplab"):
        network.check(NetworkSpec.of(architecture="unet3"))


def _plain(features, unused_spec, unused_mode, channels, **unused_sizes):
    """Builds a linear layer, and another one for training."""
    main, aux = [
        layers.conv2d(features.output, channels, 1, activation_fn=None, scope=scope)
        for scope in ("logits/semantic", "aux/logits")
    ]
    return Outputs.of(main, aux=(aux, 0.4))


@pytest.fixture
def plain(monkeypatch):
    """Adds an architecture with an auxiliary output to the registry."""
    record = Architecture(
        build=_plain,
        logits_stride=lambda spec: spec.options.output_stride,
        head_scopes=(),
        auxiliary_classifiers=("aux/logits",),
    )
    monkeypatch.setitem(network.ARCHITECTURES, "plain", record)
    return record


def test_an_auxiliary_output_is_supervised_with_its_weight(plain):
    outputs = _build(_spec("plain", "mobilenet_v2"))
    assert {name: weight for name, (_, weight) in outputs.supervised.items()} == {
        MERGED: 1.0,
        "aux": 0.4,
    }
    assert outputs.supervised[MERGED][0] is outputs.logits
    assert _matching(plain.classifier_scopes, _names()) == [
        "logits/semantic/weights",
        "logits/semantic/biases",
        "aux/logits/weights",
        "aux/logits/biases",
    ]


def test_each_scale_of_a_pyramid_has_its_auxiliary_output(plain):
    outputs = _build(_spec("plain", "mobilenet_v2", image_pyramid=(0.5, 1.0)))
    weights = {name: weight for name, (_, weight) in outputs.supervised.items()}
    assert weights == {"0.50": 1.0, "aux_0.50": 0.4, "1.00": 1.0, "aux_1.00": 0.4, MERGED: 1.0}


def test_the_architecture_says_whether_logits_are_resized_with_aligned_corners(plain):
    # At half the size the logits are those of the whole size, resized.
    _build(_spec("plain", "mobilenet_v2", image_pyramid=(0.5,)))
    resizes = [op for op in tf.get_default_graph().get_operations() if op.type == "ResizeBilinear"]
    assert resizes
    assert not any(op.get_attr("align_corners") for op in resizes)
    assert all(op.get_attr("half_pixel_centers") for op in resizes)


def test_a_size_that_an_architecture_cannot_take_is_refused_at_each_scale(monkeypatch, plain):
    sizes = []

    def check(unused_spec, unused_backbone, *, image_size, channels):
        sizes.append((image_size, channels))

    record = variants.lookup(network.ARCHITECTURES, "plain", "architecture")
    changed = Architecture(_plain, record.logits_stride, head_scopes=(), check=check)
    monkeypatch.setitem(network.ARCHITECTURES, "plain", changed)
    spec = _spec("plain", "mobilenet_v2", image_pyramid=(0.5, 1.0))
    network.check(spec, (65, 97), 3)
    assert sizes == [((33, 49), 3), ((65, 97), 3)]
