"""--precision_mode on CPU: the default, refused values, and what stays in fp32."""

import numpy as np
import pytest

from core import layers
from deployment import backend as backends
from deployment.devices import cpu
from options.device import DeviceOptions
from utils import compat
from utils.compat import tf
from utils.errors import OptionError


def _create(precision_mode):
    return backends.create(DeviceOptions(device="cpu", precision_mode=precision_mode))


@pytest.fixture
def supported(monkeypatch):
    """A machine and a TensorFlow that support bf16."""
    monkeypatch.setattr(cpu, "_instructions", lambda: ["sse", "avx512_bf16"])
    monkeypatch.setattr(compat, "why_no_bf16_on_cpu", lambda: None)


def test_a_cpu_computes_in_fp32_by_default():
    assert _create("auto").precision == "fp32"


def test_a_mode_of_another_device_is_refused_with_the_supported_ones():
    with pytest.raises(OptionError, match="=allow_mix_precision .* cpu, .* auto, fp32, bf16"):
        _create("allow_mix_precision")


def test_bf16_is_refused_on_a_processor_without_it(supported, monkeypatch):
    monkeypatch.setattr(cpu, "_instructions", lambda: ["sse", "avx512f"])
    with pytest.raises(OptionError, match="=bf16 .*avx512_bf16"):
        _create("bf16")


@pytest.mark.skipif(compat.VERSION >= (2, 9), reason="this TensorFlow can")
def test_bf16_is_refused_by_a_tensorflow_without_it():
    with pytest.raises(OptionError, match=f"=bf16 .*TensorFlow {tf.__version__}"):
        _create("bf16")


@pytest.mark.skipif(compat.VERSION < (2, 9), reason="this TensorFlow cannot")
def test_bf16_is_refused_without_onednn(monkeypatch):
    monkeypatch.setattr(compat, "uses_onednn", lambda: False)
    with pytest.raises(OptionError, match="=bf16 .*TF_ENABLE_ONEDNN_OPTS=1"):
        _create("bf16")


def test_instructions_are_those_of_the_processor():
    assert "sse2" in cpu._instructions() or not cpu._instructions()


def _build(backend):
    """Returns the loss and a training step of a few layers, in the default graph."""
    tf.set_random_seed(1)
    images = tf.random.stateless_uniform([2, 17, 17, 3], [1, 2], -1.0, 1.0)
    labels = tf.random.stateless_uniform([2, 17, 17], [3, 4], 0, 5, tf.int32)
    mode = layers.Mode(
        is_training=True,
        fine_tune_batch_norm=True,
        device=layers.DeviceLayers(formulation=backend.formulation),
    )
    features = layers.conv2d(images, 8, 3, mode=mode, scope="conv1")
    features = layers.conv2d(features, 8, 3, rate=2, mode=mode, scope="conv2")
    features = layers.batch_norm(features, mode=mode, scope="norm")
    logits = layers.conv2d(features, 5, 1, activation_fn=None, mode=mode, scope="logits")
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    optimizer = backend.wrap_optimizer(tf.train.MomentumOptimizer(0.1, 0.9))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return loss, optimizer.minimize(loss)


def _run(fetches, precision_mode):
    """Returns the loss of the first step, and the operations that ran."""
    metadata = tf.RunMetadata()
    with tf.Session(config=_create(precision_mode).session_config()) as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        loss, _ = session.run(
            fetches,
            options=tf.RunOptions(output_partition_graphs=True),
            run_metadata=metadata,
        )
    return loss, [node for graph in metadata.partition_graphs for node in graph.node]


def _types(nodes, word, attribute="T"):
    return {
        tf.as_dtype(node.attr[attribute].type).name
        for node in nodes
        if word in node.op and attribute in node.attr
    }


@pytest.mark.skipif(
    compat.why_no_bf16_on_cpu() is not None or "avx512f" not in cpu._instructions(),
    reason="this TensorFlow cannot, or not on this processor",
)
def test_in_bf16_convolutions_are_bf16_and_statistics_loss_and_update_fp32(supported):
    fetches = _build(_create("fp32"))
    expected, _ = _run(fetches, "fp32")
    loss, nodes = _run(fetches, "bf16")
    for word in ("Conv2D", "Conv2DBackpropInput", "MatMul"):
        assert _types([node for node in nodes if node.op.endswith(word)], word) == {"bfloat16"}
    assert _types(nodes, "FusedBatchNorm") == {"bfloat16"}
    assert _types(nodes, "FusedBatchNorm", "U") == {"float32"}
    assert _types(nodes, "SoftmaxCrossEntropy") == {"float32"}
    assert _types(nodes, "ApplyMomentum") == {"float32"}
    np.testing.assert_allclose(loss, expected, rtol=0.01)
