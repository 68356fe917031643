"""Images to logits: options, pyramid, heads, decoder, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from core import layers, network
from core.architectures import MERGED
from core.backbones import NORMALIZATIONS
from core.layers import convolution
from options.network import NetworkOptions, NetworkSpec
from tests.golden.logits import load_weights
from utils.compat import tf
from utils.errors import OptionError

_SIZE = (65, 65)
_QUICK = {"model_variant": "resnet_v1_18", "aspp_convs_filters": 8}


def _options(**changes) -> NetworkSpec:
    return NetworkSpec.of(**dict(_QUICK, **changes))


def _images(*size, batch=1, seed=0):
    values = np.random.RandomState(seed).uniform(0, 255, (batch, *(size or _SIZE), 3))
    return tf.constant(values, tf.float32)


def _build(options, channels=5, **mode):
    return network.build(_images(), options, channels, layers.Mode(**mode), crop_size=_SIZE)


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


def _run(fetches, feeds=None):
    with tf.Session() as session:
        load_weights(session)
        return session.run(fetches, feeds)


def _values(outputs):
    return _run({name: logits for name, (logits, _) in outputs.supervised.items()})


# Shapes and sharing.


def test_logits_have_the_stride_of_the_network_and_one_channel_per_class():
    assert _build(_options(), 7).logits.shape.as_list() == [1, 5, 5, 7]


def test_logits_after_a_decoder_have_the_stride_of_the_decoder():
    finer = _options(output_stride=8, decoder_output_stride=(4,))
    assert _build(finer, 7).logits.shape.as_list() == [1, 17, 17, 7]


def test_a_second_call_uses_the_same_variables_and_gives_the_same_logits():
    first = _build(_options()).logits
    count = len(tf.global_variables())
    second = _build(_options()).logits
    assert len(tf.global_variables()) == count
    np.testing.assert_array_equal(*_run([first, second]))


def test_images_of_unknown_size_give_the_logits_of_the_known_size():
    options = _options(atrous_rates=(2,), decoder_output_stride=(4,), image_pyramid=(0.5, 1.0))
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    dynamic = network.build(images, options, 5).logits
    static = network.build(_images(50, 75), options, 5).logits
    with tf.Session() as session:
        load_weights(session)
        values = session.run(_images(50, 75))
        expected, actual = session.run([static, dynamic], {images: values})
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_pooling_over_the_crop_equals_pooling_over_the_whole_feature_map():
    with_crop = _build(_options()).logits
    without = network.build(_images(), _options(), 5).logits
    np.testing.assert_allclose(*_run([with_crop, without]), atol=1e-4)


def test_images_that_are_not_of_the_crop_size_are_refused():
    with pytest.raises(ValueError, match=r"Images are 65x65, but crop_size is \(33, 65\)"):
        network.build(_images(), _options(), 5, crop_size=(33, 65))


# Training and inference.


def test_dropout_is_looked_up_when_the_graph_is_built(monkeypatch):
    seen = []

    def identity(inputs, keep_prob, mode):
        seen.append((inputs.shape.as_list(), keep_prob, mode.is_training))
        return inputs

    monkeypatch.setattr(layers, "dropout", identity)
    _build(_options(), is_training=True)
    assert seen == [([1, 5, 5, 8], 0.9, True)]


@pytest.mark.parametrize(
    ("formulation", "expected"),
    [(convolution.NATIVE, {1, 2}), (convolution.SPACE_TO_BATCH, {1})],
)
def test_the_caller_of_a_training_graph_chooses_how_convolutions_are_made(formulation, expected):
    device = layers.DeviceLayers(formulation=formulation)
    _build(_options(output_stride=16, multi_grid=(1, 1)), is_training=True, device=device)
    operations = tf.get_default_graph().get_operations()
    dilations = {op.get_attr("dilations")[1] for op in operations if op.type == "Conv2D"}
    assert dilations == expected


def test_inference_always_has_native_atrous_convolutions():
    _build(
        _options(output_stride=8),
        device=layers.DeviceLayers(formulation=convolution.SPACE_TO_BATCH),
    )
    operations = tf.get_default_graph().get_operations()
    dilations = {op.get_attr("dilations")[1] for op in operations if op.type == "Conv2D"}
    assert dilations == {1, 2, 4}
    assert not [op.name for op in operations if op.type == "SpaceToBatchND"]


@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        ({"is_training": True, "fine_tune_batch_norm": True}, True),
        ({"is_training": True, "fine_tune_batch_norm": False}, False),
        ({"is_training": False, "fine_tune_batch_norm": True}, False),
    ],
)
def test_batch_norm_learns_only_in_training_and_when_it_is_not_frozen(settings, learns):
    _build(_options(), **settings)
    assert bool(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == learns


def test_the_batch_norm_decay_is_that_of_the_head_only():
    _build(_options(batch_norm_decay=0.75), is_training=True, fine_tune_batch_norm=True)
    decays = {}
    for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS):
        name = update.updated_variable.op.name
        decays[name] = 1.0 - tf.get_static_value(update.inputs[1].op.inputs[1])
    assert decays["aspp0/BatchNorm/moving_mean"] == pytest.approx(0.75)
    assert decays["concat_projection/BatchNorm/moving_variance"] == pytest.approx(0.75)
    assert decays["resnet_v1_18/conv1/BatchNorm/moving_mean"] == pytest.approx(0.95)


def test_without_weight_decay_nothing_is_regularized():
    _build(_options(), is_training=True)
    assert not tf.losses.get_regularization_losses()


# Image pyramid.


def test_a_pyramid_returns_each_scale_and_their_maximum():
    outputs = _build(_options(image_pyramid=(0.5, 1.0, 1.5)))
    assert list(outputs.supervised) == ["0.50", "1.00", "1.50", MERGED]
    assert {weight for _, weight in outputs.supervised.values()} == {1.0}
    values = _values(outputs)
    assert values["merged"].shape == (1, 7, 7, 5)
    scales = [values[key] for key in ("0.50", "1.00", "1.50")]
    np.testing.assert_array_equal(values["merged"], np.max(scales, axis=0))


def test_a_pyramid_can_be_averaged():
    values = _values(_build(_options(image_pyramid=(0.5, 1.0), merge_method="avg")))
    assert values["merged"].shape == (1, 5, 5, 5)
    expected = (values["0.50"] + values["1.00"]) / 2
    np.testing.assert_allclose(values["merged"], expected, atol=1e-5)


def test_a_pyramid_of_one_scale_has_merged_logits_only():
    assert list(_build(_options(image_pyramid=(0.5,))).supervised) == [MERGED]


# Heads.


def test_separable_aspp_and_decoder_name_their_parts():
    options = _options(atrous_rates=(2,), decoder_output_stride=(4,), decoder_filters=6)
    _build(options)
    shapes = _shapes()
    assert shapes["aspp1_depthwise/depthwise_weights"] == [3, 3, 512, 1]
    assert shapes["aspp1_pointwise/weights"] == [1, 1, 512, 8]
    assert shapes["decoder/feature_projection0/weights"] == [1, 1, 64, 48]
    assert shapes["decoder/decoder_conv0_depthwise/depthwise_weights"] == [3, 3, 56, 1]
    assert shapes["decoder/decoder_conv1_pointwise/weights"] == [1, 1, 6, 6]


def test_decoder_stages_after_the_first_have_a_suffix():
    options = _options(
        model_variant="mobilenet_v2", decoder_output_stride=(8, 4), decoder_use_separable_conv=False
    )
    assert _build(options).logits.shape.as_list() == [1, 17, 17, 5]
    shapes = _shapes()
    assert shapes["decoder/feature_projection0/weights"] == [1, 1, 192, 48]
    assert shapes["decoder/decoder_conv0/decoder_conv0_1/weights"] == [3, 3, 56, 256]
    assert shapes["decoder/feature_projection0_1/weights"] == [1, 1, 144, 48]
    assert shapes["decoder/decoder_conv0_1/decoder_conv0_1_2/weights"] == [3, 3, 256, 256]


def test_a_decoder_can_end_in_the_logits():
    options = _options(
        decoder_output_stride=(4,),
        decoder_use_sum_merge=True,
        decoder_output_is_logits=True,
        decoder_filters=5,
    )
    _build(options)
    names = [name for name in _shapes() if name.startswith(("decoder/", "logits/"))]
    assert names == [
        "decoder/feature_projection0/weights",
        "decoder/feature_projection0/biases",
        "decoder/decoder_conv0/weights",
        "decoder/decoder_conv0/biases",
    ]


def test_squeeze_and_excitation_scales_by_the_image_level_branch():
    options = _options(aspp_with_squeeze_and_excitation=True, image_se_uses_qsigmoid=True)
    _build(options)
    graph = tf.get_default_graph()
    scale, outputs = graph.get_tensor_by_name("image_pooling/mul:0"), _head_output()
    before = graph.get_tensor_by_name("concat_projection/Relu:0")
    scale, before, outputs = _run([scale, before, outputs])
    assert 0.0 <= scale.min() <= scale.max() <= 1.0001
    np.testing.assert_allclose(outputs, before * scale, atol=1e-5)


def _head_output():
    (convolution,) = [
        operation
        for operation in tf.get_default_graph().get_operations()
        if operation.name.startswith("logits/semantic/") and operation.type == "Conv2D"
    ]
    return convolution.inputs[0]


def test_without_batch_norm_the_logits_of_all_rates_are_added():
    options = _options(aspp_with_batch_norm=False, atrous_rates=(2, 4), logits_kernel_size=3)
    logits = _build(options).logits
    parts = ["logits/semantic/BiasAdd:0", "logits/semantic_1/BiasAdd:0"]
    total, first, second = _run([logits, *parts])
    np.testing.assert_allclose(total, first + second, atol=1e-5)


def test_a_dense_prediction_cell_takes_the_place_of_aspp(tmp_path):
    cell = [
        {"op": "conv", "kernel": 1, "input": -1},
        {"op": "conv", "kernel": 3, "rate": [1, 6], "input": 0},
        {"op": "pyramid_pooling", "grid_size": [2, 1], "input": -1},
    ]
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(cell))
    options = _options(dense_prediction_cell_json=str(path), output_stride=8)
    assert _build(options).logits.shape.as_list() == [1, 9, 9, 5]
    shapes = _shapes()
    assert shapes["meta_architecture/branch0/weights"] == [1, 1, 512, 256]
    assert shapes["meta_architecture/branch1_depthwise/depthwise_weights"] == [3, 3, 256, 1]
    assert shapes["meta_architecture/branch2/weights"] == [1, 1, 512, 256]
    assert shapes["meta_architecture/concat_projection/weights"] == [1, 1, 768, 256]
    assert not [name for name in shapes if name.startswith("aspp")]


# What is refused.


def test_a_good_network_passes_without_building_a_graph():
    network.check(_options(atrous_rates=(6,), multi_grid=(1, 2)), _SIZE)
    assert not tf.get_default_graph().get_operations()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_variant": "resnet"},
            "resnet is not a known --model_variant; known: .*mobilenet_v2",
        ),
        ({"multi_grid": (1, 2, 4)}, "--multi_grid has 3 values, .* each of the 2 units"),
        ({"model_variant": "mobilenet_v2", "multi_grid": (1, 2)}, "--multi_grid .*mobilenet_v2"),
        ({"depth_multiplier": 0.5}, "--depth_multiplier .*resnet_v1_18"),
        ({"divisible_by": 8}, "--divisible_by .*resnet_v1_18"),
        ({"decoder_output_stride": (2,)}, "has 2, but resnet_v1_18 has .* at stride 4, 8 or 16"),
        ({"logits_kernel_size": 3}, "--logits_kernel_size=3 needs --noaspp_with_batch_norm"),
        ({"image_pyramid": (0.5, 0.501)}, "is 0.50, 0.50, but its scales must differ"),
        ({"image_pooling_crop_size": (65, 66)}, "is 65,66, but the crop is only 65,65"),
        (
            {"aspp_with_squeeze_and_excitation": True, "add_image_level_feature": False},
            "needs the image-level branch",
        ),
        (
            {
                "aspp_with_squeeze_and_excitation": True,
                "aspp_with_concat_projection": False,
                "atrous_rates": (6,),
            },
            "needs --aspp_with_concat_projection",
        ),
        ({"dense_prediction_cell_json": "/no/such/file"}, "=/no/such/file cannot be read"),
    ],
)
def test_impossible_networks_are_refused_before_a_graph_is_built(changes, message):
    with pytest.raises(OptionError, match=message):
        network.check(_options(**changes), _SIZE)
    assert not tf.get_default_graph().get_operations()


def test_an_output_stride_that_a_backbone_cannot_do_is_refused(monkeypatch):
    record = dataclasses.replace(network.BACKBONES["resnet_v1_18"], output_strides=(8, 16))
    monkeypatch.setitem(network.BACKBONES, "resnet_v1_18", record)
    with pytest.raises(OptionError, match="is 32, but resnet_v1_18 can do 8 or 16"):
        network.check(_options(output_stride=32))


def test_a_backbone_without_the_stages_that_an_architecture_needs_is_refused(monkeypatch):
    record = dataclasses.replace(network.BACKBONES["resnet_v1_18"], channels={4: 64, 16: 256})
    monkeypatch.setitem(network.BACKBONES, "resnet_v1_18", record)
    needy = dataclasses.replace(network.ARCHITECTURES["deeplab"], strides=(2, 4, 8))
    monkeypatch.setitem(network.ARCHITECTURES, "deeplab", needy)
    with pytest.raises(OptionError, match="deeplab needs .* 2 or 8, which resnet_v1_18"):
        network.check(_options())


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("{}", "must hold a list of branches"),
        ("[", "cannot be read"),
        ('[{"op": "pool", "input": -1}]', "branch 0 has op 'pool'; known are conv"),
        ('[{"op": "conv", "kernel": 3, "rate": [1, 1], "input": 0}]', "branch 0 has input 0"),
        ('[{"op": "conv", "kernel": 3, "rate": 2, "input": -1}]', "branch 0 needs a rate"),
        ('[{"op": "conv", "input": -1}]', "branch 0 needs a kernel"),
        ('[{"op": "pyramid_pooling", "input": -1}]', "branch 0 needs a grid_size"),
        ("[3]", "branch 0 is 3, but must be an object"),
    ],
)
def test_a_wrong_dense_prediction_cell_is_refused_with_the_reason(cell, message, tmp_path):
    path = tmp_path / "cell.json"
    path.write_text(cell)
    with pytest.raises(OptionError, match=message):
        network.check(_options(dense_prediction_cell_json=str(path)))


def test_a_dense_prediction_cell_is_refused_at_stride_32(tmp_path):
    path = tmp_path / "cell.json"
    path.write_text('[{"op": "conv", "kernel": 1, "input": -1}]')
    with pytest.raises(OptionError, match="--output_stride is 32, but the rates"):
        network.check(_options(dense_prediction_cell_json=str(path), output_stride=32))


def test_a_decoder_that_gives_the_logits_needs_one_filter_per_class():
    options = _options(
        decoder_output_stride=(4,), decoder_use_sum_merge=True, decoder_output_is_logits=True
    )
    with pytest.raises(OptionError, match="--decoder_filters=256 must be the number of classes, 5"):
        _build(options)


def test_the_pad_colour_is_that_of_the_backbone():
    assert network.pad_color(_options()) == (123.15, 115.90, 103.06)
    assert network.pad_color(_options(model_variant="mobilenet_v2")) == (127.5, 127.5, 127.5)


_STANDARDIZED = (np.array([1.0, 0.0, 0.2]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    ("normalization", "expected", "pad_color"),
    [
        ("imagenet", _STANDARDIZED, (123.675, 116.28, 103.53)),
        ("bgr_imagenet", _STANDARDIZED[::-1], (123.675, 116.28, 103.53)),
        ("caffe", [51 - 103.939, 0 - 116.779, 255 - 123.68], (123.68, 116.779, 103.939)),
        ("tf", [1.0, -1.0, 51 / 127.5 - 1], (127.5, 127.5, 127.5)),
        ("none", [255.0, 0.0, 51.0], (0.0, 0.0, 0.0)),
    ],
)
def test_colours_can_be_normalized_as_other_frameworks_do(normalization, expected, pad_color):
    options = _options(normalization=normalization)
    colors = np.array([[255.0, 0.0, 51.0], network.pad_color(options)], np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(network.backbone(options.options).normalize(tf.constant(colors)))
    np.testing.assert_allclose(found, [expected, [0, 0, 0]], atol=1e-5)
    assert network.pad_color(options) == pytest.approx(pad_color)


def test_every_value_of_the_flag_is_a_normalization():
    (field,) = [
        field for field in dataclasses.fields(NetworkOptions) if field.name == "normalization"
    ]
    assert set(field.metadata["choices"]) == {"backbone", *NORMALIZATIONS}


def test_image_level_pooling_has_its_own_window_and_stride():
    # Features of 65x65 at stride 8: 9x9; a window of 33x33 has 5x5 of them, every second one.
    _build(_options(output_stride=8, image_pooling_crop_size=(33, 33), image_pooling_stride=(2, 4)))
    operations = tf.get_default_graph().get_operations()
    (pooled,) = [operation for operation in operations if operation.type == "AvgPool"]
    assert pooled.outputs[0].shape.as_list()[1:3] == [3, 2]


def test_the_image_level_branch_is_not_bounded_though_the_others_are():
    _build(_options(use_bounded_activation=True))
    names = {operation.name for operation in tf.get_default_graph().get_operations()}
    assert {"image_pooling/Relu", "aspp0/Relu6", "concat_projection/Relu6"} <= names
    assert "image_pooling/Relu6" not in names


# Input channels.


def test_images_of_other_channels_and_their_normalization_are_refused():
    grey = _options(input_channels=1, normalization="none")
    with pytest.raises(OptionError, match="takes images of 2 channels .*, but these have 3"):
        _build(_options(input_channels=2, normalization="none"))
    with pytest.raises(OptionError, match="--normalization=backbone of resnet_v1_18 .* is 1;"):
        network.check(_options(input_channels=1))
    with pytest.raises(OptionError, match="--normalization=caffe"):
        network.check(_options(input_channels=4, normalization="caffe"))
    network.check(grey)
    network.check(NetworkSpec.of(model_variant="mobilenet_v2", input_channels=4))


def test_a_grey_network_makes_photos_grey():
    spec = _options(input_channels=1, normalization="none")
    photo = _images()
    grey = tf.tensordot(photo, tf.constant([[0.299], [0.587], [0.114]]), 1)
    outputs = [network.build(images, spec, 3, crop_size=_SIZE).logits for images in (photo, grey)]
    found, expected = _run(outputs)
    assert _shapes()["resnet_v1_18/conv1/weights"] == [7, 7, 1, 64]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
