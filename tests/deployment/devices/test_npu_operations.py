"""Every operation type of the training graph on NPU, checked against a list of known types.

CANN's list of supported operations is not public. So the types are listed here: a new one fails the
test until it has been found in the operator lists of a CANN installation
(opp/.../aic-*-ops-info*.json, npu_supported_ops.json) and is added.
"""

import pytest

import deployment.backend
from core import task as tasks
from core.losses import Context, objective
from core.training import rates, updates
from core.training import step as train
from core.training.optimizers import Settings
from options.device import DeviceOptions
from options.loss import LossOptions
from options.segments import SEGMENT_SHAPES
from tests import small_losses
from tests.npu_adapter import importable
from tests.npu_adapter import session as device
from tests.small_steps import config_of
from utils.classes import ClassSet, default_names
from utils.compat import tf

# Operations of the networks and their gradients.
NETWORK = """
    AddN AddV2 AvgPool AvgPoolGrad BatchToSpaceND BiasAdd BiasAddGrad Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput FusedBatchNormGradV3 FusedBatchNormV3 L2Loss MaxPool MaxPoolGrad Mean Pad
    Relu Relu6 Relu6Grad ReluGrad ResizeBilinear ResizeBilinearGrad SpaceToBatchND
    SparseSoftmaxCrossEntropyWithLogits
""".split()  # noqa: SIM905
# Arithmetic of losses, schedules and updates.
ARITHMETIC = """
    Abs Add All Cast Equal FloorMod GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr
    Maximum Minimum Mul Neg NotEqual Pow Prod RealDiv Select Sin Sqrt Square Sub Sum TopKV2
    ZerosLike
""".split()  # noqa: SIM905
# Shapes are static, so TensorFlow folds most of these before it sends the graph to the device.
SHAPES = """
    BroadcastGradientArgs ConcatOffset ConcatV2 Const ExpandDims Fill FloorDiv GatherV2 Identity
    IdentityN NoOp Pack PreventGradient Range Reshape ScatterNd Shape ShapeN Size Slice Squeeze
    StopGradient StridedSlice StridedSliceGrad Tile Transpose Unpack
""".split()  # noqa: SIM905
UPDATES = [
    *("ApplyAdam", "ApplyGradientDescent", "ApplyMomentum"),
    *("Assign", "AssignAdd", "AssignSub", "VariableV2"),
]
# The fake adapter's dropout; the real one is DropOutGenMask and DropOutDoMask.
STAND_IN = ["RandomUniform"]
KNOWN = {*NETWORK, *ARITHMETIC, *SHAPES, *UPDATES, *STAND_IN}
# Unsupported by the porting tool's list for TensorFlow 2.6, but not by that for 1.15.
DEPTHWISE = {
    "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeBackpropFilter",
    "DepthwiseConv2dNativeBackpropInput",
}

# Of the porting tool's list for TensorFlow 1.15.
NEAREST = {"ResizeNearestNeighbor", "ResizeNearestNeighborGrad"}
SQUEEZE = {"Sigmoid", "SigmoidGrad"}
# Of losses other than cross entropy: arithmetic, sums along an axis, sorting, one-hot labels.
LOSSES = """
    BroadcastTo Cumsum Elu EluGrad Exp Greater Log Log1p LogSoftmax Max OneHot Reciprocal Rsqrt
    RsqrtGrad SelectV2 Sigmoid SigmoidGrad Sign Softmax Softplus SoftplusGrad
""".split()  # noqa: SIM905
# Of a constant, in the gradient of a transposition; folded.
PERMUTATION = {"InvertPermutation"}
# Of constant shapes, in the gradient of a maximum on TensorFlow 1.15; folded.
SHAPES = {"DynamicStitch"}

RECIPE = {"multi_grid": (1, 2, 4), "atrous_rates": (6, 12, 18), "aspp_with_separable_conv": False}
DECODER = {"decoder_output_stride": (4,)}
EVERYTHING = {
    "optimizer": "adamw",
    "clip_gradient_norm": 1.0,
    "accumulate_batches": 2,
    "ema_decay": 0.99,
    "hard_example_mining_step": 10,
    "top_k_percent_pixels": 0.5,
    "gradient_checkpointing": True,
    "label_weights": (1.0, 2.0, 3.0),
    "bias_multiplier": 2.0,
}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def adapter(request, monkeypatch):
    with importable.adapter(request.param, monkeypatch):
        yield


def operations(network, training, steps_per_loop, size=33):
    """Returns all operations that a run of a training loop executes."""
    backend = deployment.backend.create(DeviceOptions(device="npu", loss_scale="none"))
    config = config_of(fine_tune_batch_norm=True, **network, **training)
    count = 2 * config.train.accumulate_batches
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        step = train.build(
            tf.zeros([count, size, size, 3]),
            tf.zeros([count, size, size, 1], tf.int32),
            config,
            classes=ClassSet(default_names(3)),
            backend=backend,
        )
        # The adapter's optimizer adds control dependencies on all gradients.
        assert all(gradient is not None for gradient, _ in step.gradients)
        return device._ancestors(graph, backend.train_op(step.train_op, steps_per_loop))


@pytest.mark.parametrize(
    ("network", "training"),
    [
        (
            {
                "model_variant": "resnet_v1_18_beta",
                "output_stride": 8,
                "multi_grid": (1, 2),
                "atrous_rates": (6, 12),
                "decoder_use_separable_conv": False,
                **DECODER,
            },
            EVERYTHING,
        ),
        slow({"model_variant": "resnet_v1_101_beta", "output_stride": 8, **RECIPE}, {}),
        slow({"model_variant": "resnet_v1_101", **RECIPE}, {"optimizer": "sgd"}),
    ],
)
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_networks_of_the_recipes_have_known_operations_only(adapter, network, training):
    network = {"aspp_with_separable_conv": False, **network}
    found = operations(network, training, 5)
    device.check_operations(found)
    types = {operation.type for operation in found}
    assert types - KNOWN == set()
    assert "IterationOp" in {operation.name for operation in found}


@pytest.mark.parametrize(
    "network",
    [
        {"model_variant": "mobilenet_v3_small_seg"},
        slow({"model_variant": "mobilenet_v2"}),
        slow({"model_variant": "mobilenet_v3_large_seg"}),
        slow({"model_variant": "xception_65", **DECODER, "atrous_rates": (6, 12, 18)}),
        slow(
            {
                "architecture": "deeplab_keras",
                "model_variant": "mobilenet_v2_keras",
                "output_stride": 8,
            }
        ),
    ],
)
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_other_networks_add_depthwise_convolutions_only(adapter, network):
    found = operations(network, {}, 1)
    device.check_operations(found)
    assert {operation.type for operation in found} - KNOWN == DEPTHWISE


@pytest.mark.parametrize(
    ("network", "added"),
    [
        ({"architecture": "unet", "model_variant": "seresnet18"}, NEAREST | SQUEEZE),
        slow(
            {
                "architecture": "unet",
                "model_variant": "resnet18_preact",
                "unet_decoder_block_type": "transpose",
            },
            set(),
        ),
        slow({"architecture": "linknet", "model_variant": "resnet18_preact"}, NEAREST),
        slow({"architecture": "fpn", "model_variant": "resnext50_preact"}, NEAREST),
        slow(
            {"architecture": "linknet", "model_variant": "vgg16", "output_stride": 8},
            NEAREST,
        ),
        slow(
            {"architecture": "unet", "model_variant": "densenet121", "output_stride": 8},
            NEAREST,
        ),
        slow(
            {"architecture": "fpn", "model_variant": "inception_v3", "output_stride": 8},
            NEAREST,
        ),
        (
            {
                "architecture": "pspnet",
                "model_variant": "resnet18_preact",
                "pspnet_final_interpolation": "duc",
            },
            PERMUTATION,
        ),
        ({"architecture": "refinenet", "model_variant": "resnet18_refinenet"}, set()),
    ],
)
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_networks_of_the_keras_libraries_have_known_operations_only(adapter, network, added):
    found = operations(network, {}, 1, size=48)
    device.check_operations(found)
    assert {operation.type for operation in found} - KNOWN == added


@pytest.mark.parametrize(
    ("optimizer", "added"), [("amsgrad", set()), ("nadam", {"Exp"}), ("ftrl", {"Sign"})]
)
@pytest.mark.parametrize("policy", ["segments", "one_cycle"])
def test_optimizers_and_schedules_have_known_operations_only(optimizer, added, policy):
    shapes = [f"{shape}::0.1:4" for shape in (*SEGMENT_SHAPES, "2")]
    config = config_of(
        optimizer=optimizer,
        learning_policy=policy,
        learning_rate_segment=shapes if policy == "segments" else None,
        learning_rate_unit="epoch",
        slow_start_step=2,
        slow_start_shape="linear",
    )
    with tf.Graph().as_default() as graph:
        step = tf.train.get_or_create_global_step()
        variable = tf.get_variable("weights", [3])
        settings = Settings(
            config.optimizer,
            rates.learning_rate(config, step, 5),
            rates.momentum(config, step, 5),
            multipliers={"weights": 2.0},
            decaying={"weights"},
        )
        update = updates.create(settings).apply_gradients([(tf.ones([3]), variable)])
        found = device._ancestors(graph, update)
    device.check_operations(found)
    assert {operation.type for operation in found} - KNOWN == added


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_fc_hardnet_has_known_operations_only(adapter):
    network = {"architecture": "fc_hardnet", "model_variant": "hardnet70"}
    found = operations(network, {"gradient_checkpointing": True}, 1, size=65)
    device.check_operations(found)
    assert {operation.type for operation in found} - KNOWN == set()


@pytest.mark.parametrize(
    "network",
    [
        slow({"architecture": "fcn", "model_variant": "resnext50_torch"}),
        {"architecture": "deeplab_torch", "model_variant": "resnet18_torch", "output_stride": 8},
    ],
)
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_networks_of_torchvision_have_known_operations_only(adapter, network):
    found = operations(network, {}, 1)
    device.check_operations(found)
    assert {operation.type for operation in found} - KNOWN == set()


@pytest.mark.parametrize(
    ("adapter", "warns"), [("npu_bridge", False), ("npu_device", True)], indirect=["adapter"]
)
def test_depthwise_convolutions_are_warned_of_on_tensorflow_2(adapter, warns, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "absl.logging.warning",
        lambda text, *values: shown.append(text % values if values else text),
    )
    backend = deployment.backend.create(DeviceOptions(device="npu"))
    with tf.Graph().as_default():
        plain = tf.nn.conv2d(tf.zeros([1, 4, 4, 2]), tf.zeros([1, 1, 2, 2]), 1, "SAME")
        backend.train_op(plain.op, 1)
        assert shown == []
        depthwise = tf.nn.depthwise_conv2d(plain, tf.zeros([3, 3, 2, 1]), [1, 1, 1, 1], "SAME")
        backend.train_op(depthwise.op, 1)
    assert ["depthwise" in text for text in shown] == [True] * warns


@pytest.mark.parametrize("task", tasks.TASKS)
def test_losses_have_known_operations_only(task):
    classes = small_losses.classes_of(task)
    logits = tf.placeholder(tf.float32, small_losses.random_logits(classes).shape)
    labels = tf.placeholder(tf.int32, small_losses.blocks(classes).shape)
    for name, loss in objective.LOSSES.items():
        if task in loss.tasks:
            context = Context(LossOptions(loss=name, label_weights=(2.0,) * classes.count))
            value = objective.build({"merged": (logits, 1.0)}, labels, classes, context)
            tf.gradients(value, logits)
    found = tf.get_default_graph().get_operations()
    device.check_operations(found)
    types = {operation.type for operation in found} - {"Placeholder"}
    assert types - KNOWN == types & {*LOSSES, *PERMUTATION, *SHAPES}
