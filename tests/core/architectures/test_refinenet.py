"""RefineNet: its blocks on any backbone, its options, and the original's wiring."""

import pytest

from core import layers, network
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

_TRAINS = layers.Mode(is_training=True, fine_tune_batch_norm=True, weight_decay=0.1)


def _spec(backbone="resnet18_refinenet", output_stride=32, **changes):
    return NetworkSpec.of(
        architecture="refinenet",
        model_variant=backbone,
        output_stride=output_stride,
        **{f"refinenet_{name}": value for name, value in changes.items()},
    )


def _build(spec, size=(64, 96), mode=_TRAINS):
    return network.build(tf.zeros([2, *size, 3]), spec, 3, mode, crop_size=size).logits


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


def _trained():
    return {variable.op.name for variable in tf.trainable_variables()}


@pytest.mark.parametrize(
    ("backbone", "output_stride"),
    [
        ("mobilenet_v2", 32),
        ("resnet18_refinenet", 16),
        ("resnet_v1_18_beta", 8),
        pytest.param("xception_41", 16, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("blocks", [("32,16", "8,4"), ("8", "4"), ("4,32",)])
def test_blocks_of_strides_work_on_every_backbone(backbone, output_stride, blocks):
    logits = _build(_spec(backbone, output_stride, blocks=blocks), (65, 72))
    assert logits.shape.as_list() == [2, 65, 72, 3]
    variables = tf.trainable_variables()
    gradients = tf.gradients(tf.reduce_sum(logits), variables)
    assert [v.op.name for v, gradient in zip(variables, gradients) if gradient is None] == []
    decayed = {loss.op.name.split("/Reg")[0] for loss in tf.losses.get_regularization_losses()}
    assert decayed == {name for name in _trained() if name.endswith("/weights")}


def test_layers_after_the_last_feature_are_no_part_of_the_network():
    _build(_spec(blocks=("layer2", "layer1")))
    names = [name for name in _shapes() if name.startswith("resnet18_refinenet/")]
    assert {name.split("/")[1] for name in names} == {"layer0", "layer1", "layer2"}


def test_layer_names_are_those_of_strides():
    _build(_spec(blocks=("layer4,layer3", "layer2,layer1")))
    by_name = _shapes()
    with tf.Graph().as_default():
        _build(_spec())
        assert _shapes() == by_name


def test_units_have_the_sizes_that_are_asked_for():
    _build(
        _spec(
            blocks=("8,4",),
            reduce_channel_scale=2,
            rcu_n_layers=1,
            rcu_kernel_size=(1, 3),
            mrf_kernel_size=(1, 1),
            crp_n_pool_blocks=3,
            crp_k_size_conv=(1, 1),
        )
    )
    expected = {
        "rcu0/down_sample": [1, 1, 128, 64],
        "rcu0/conv0": [1, 3, 128, 64],
        "rcu1/down_sample": [1, 1, 64, 32],
        "rcu1/conv0": [1, 3, 64, 32],
        "mrf/conv0": [1, 1, 64, 32],
        "mrf/conv1": [1, 1, 32, 32],
        **{f"mrf/deconv{index}": [1, 1, 32, 32] for index in range(2)},
        **{f"crp/conv{index}": [1, 1, 32, 32] for index in range(3)},
        **{f"rcu_final/conv{index}": [3, 3, 32, 32] for index in range(2)},
    }
    found = {name: shape for name, shape in _shapes().items() if name.startswith("block")}
    weights = {name: shape for name, shape in found.items() if name.endswith("/weights")}
    assert weights == {f"block0/{name}/weights": shape for name, shape in expected.items()}
    assert len(found) == 2 * len(weights)


def test_without_transposed_convolutions_everything_is_resized():
    _build(_spec(mrf_use_deconv=False))
    assert not [name for name in _shapes() if "deconv" in name]


def test_a_transposed_convolution_of_the_wrong_size_is_not_trained():
    _build(_spec(blocks=("32,8",)))
    trained = _trained()
    assert "block0/mrf/deconv1/weights" in trained
    assert "block0/mrf/deconv0/weights" in _shapes()
    assert "block0/mrf/deconv0/weights" not in trained


def test_strides_of_the_fusion_are_undone_by_resizing():
    logits = _build(_spec(mrf_strides=(2, 2), mrf_padding="valid", blocks=("8,4",)))
    assert logits.shape.as_list() == [2, 64, 96, 3]


def test_the_units_that_the_original_drops_are_variables_but_not_trained():
    _build(_spec(raw_mrf_inputs=True, blocks=("32,16", "8,4")))
    shapes, trained = _shapes(), _trained()
    dropped = {name for name in shapes if name.startswith("block") and "/rcu" in name}
    dropped = {name for name in dropped if "/rcu_final/" not in name}
    assert dropped
    assert not dropped & trained
    assert set(shapes) - trained == dropped | {name for name in shapes if "/moving_" in name}
    assert shapes["block0/mrf/conv0/weights"] == [3, 3, 512, 64]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": ("32,16", "")}, "--refinenet_blocks"),
        ({"rcu_strides": (2, 2)}, "--refinenet_rcu_strides is 2,2"),
        ({"rcu_padding": "valid"}, "--refinenet_rcu_padding=valid .*--refinenet_rcu_kernel_size"),
        ({"crp_strides": (1, 2)}, "--refinenet_crp_strides is 1,2"),
        (
            {"crp_padding": "valid", "crp_k_size_pool": (1, 1)},
            "--refinenet_crp_padding=valid .*--refinenet_crp_k_size_conv",
        ),
        ({"mrf_strides": (1, 2)}, "--refinenet_mrf_strides is 1,2"),
        ({"mrf_kernel_size": (3,)}, "--refinenet_mrf_kernel_size"),
        ({"crp_n_pool_blocks": 0}, "--refinenet_crp_n_pool_blocks"),
    ],
)
def test_options_that_no_network_can_follow_are_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        _spec(**changes)


def test_a_feature_that_the_backbone_does_not_have_is_refused_with_those_that_it_has():
    with pytest.raises(OptionError, match=r"layer5, .*2, 4, 8, 16, 32, layer0, .*layer4"):
        network.check(_spec(blocks=("layer5", "layer1")))
    with pytest.raises(OptionError, match="layer4, but resnet_v1_18 has"):
        network.check(_spec("resnet_v1_18", blocks=("layer4",)))


def test_a_block_without_channels_is_refused_by_its_number():
    blocks = ("layer4", "layer3", "layer2", "layer1")
    with pytest.raises(OptionError, match="is 8, but an input of block 3 .* has 4 channels"):
        network.check(_spec("resnet50_refinenet", blocks=blocks, reduce_channel_scale=8))


def test_channels_that_a_depth_multiplier_makes_are_checked_where_they_are_known():
    spec = _spec("mobilenet_v2", blocks=("4",), reduce_channel_scale=20)
    network.check(spec)
    with pytest.raises(OptionError, match="block 0 .* has 6 channels"):
        _build(spec.replace(depth_multiplier=0.25))
