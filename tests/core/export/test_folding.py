import functools

import numpy as np
import pytest

from core import layers
from core.export import folding
from core.layers import convolution as core_convolution
from tests.golden import logits as golden_logits
from utils.compat import slim, tf


def frozen(build, size=17, channels=6):
    """Returns a graph from `images` to `outputs` as constants, with batch norms."""
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, [None, size, size, channels], name="images")
        with slim.arg_scope([layers.batch_norm], epsilon=1e-3):
            tf.identity(build(images), name="outputs")
        with tf.Session() as session:
            golden_logits.load_weights(session)
            return tf.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), ["outputs"]
            )


def run(graph_def, size=17, channels=6):
    images = np.random.RandomState(0).uniform(-1, 1, [2, size, size, channels])
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.Session(graph=graph) as session:
            return session.run("outputs:0", {"images:0": images})


def count(graph_def, *operations):
    return sum(node.op in operations for node in graph_def.node)


def batch_norms(graph_def):
    return count(graph_def, "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def convolution(images):
    return layers.conv2d(images, 8, 3, stride=2, normalizer_fn=layers.batch_norm)


def atrous_convolution(images):
    return layers.conv2d(images, 8, 3, rate=2, normalizer_fn=layers.batch_norm)


def depthwise(images):
    return layers.depthwise_conv2d(images, 3, normalizer_fn=layers.batch_norm)


def atrous_convolution_through_space_to_batch(images):
    device = layers.DeviceLayers(formulation=core_convolution.SPACE_TO_BATCH)
    mode = layers.Mode(is_training=True, device=device)
    return layers.conv2d(images, 8, 3, rate=2, normalizer_fn=layers.batch_norm, mode=mode)


def atrous_depthwise(images):
    return layers.depthwise_conv2d(images, 3, rate=2, normalizer_fn=layers.batch_norm)


def without_convolution(images):
    return layers.batch_norm(tf.nn.relu(images))


def with_another_user(images):
    features = layers.conv2d(images, 6, 3, activation_fn=None)
    return layers.batch_norm(features) + tf.nn.relu(features)


@pytest.mark.parametrize(
    ("build", "multiplications"),
    [
        (convolution, 0),
        (atrous_convolution, 0),
        (atrous_convolution_through_space_to_batch, 0),
        (depthwise, 0),
        (atrous_depthwise, 0),
        (without_convolution, 1),
        (with_another_user, 1),
    ],
)
def test_folding_changes_the_graph_but_not_its_results(build, multiplications):
    before = frozen(build)
    after = folding.fold_batch_norms(before, ["outputs"])
    assert batch_norms(before) == 1
    assert batch_norms(after) == 0
    assert count(after, "Mul") == multiplications
    np.testing.assert_allclose(run(after), run(before), rtol=1e-5, atol=1e-5)
    assert np.abs(run(after)).max() > 0.1


def test_scales_that_share_a_kernel_share_the_folded_one():
    def twice(images):
        with tf.variable_scope("shared", reuse=tf.AUTO_REUSE):
            first = layers.conv2d(images, 8, 3, normalizer_fn=layers.batch_norm, scope="conv")
            second = layers.conv2d(-images, 8, 3, normalizer_fn=layers.batch_norm, scope="conv")
        return first + second

    before = frozen(twice)
    after = folding.fold_batch_norms(before, ["outputs"])
    assert batch_norms(before) == 2
    assert batch_norms(after) == 0
    kernels = [node for node in after.node if node.name.endswith("/folded_kernel")]
    assert len(kernels) == 1
    np.testing.assert_allclose(run(after), run(before), rtol=1e-5, atol=1e-5)


def test_a_kernel_with_two_batch_norms_is_folded_twice():
    def twice(images):
        with tf.variable_scope("shared", reuse=tf.AUTO_REUSE):
            first, second = (
                layers.conv2d(
                    images,
                    8,
                    3,
                    normalizer_fn=functools.partial(layers.batch_norm, scope=name),
                    scope="conv",
                )
                for name in ("first", "second")
            )
        return first - second

    before = frozen(twice)
    after = folding.fold_batch_norms(before, ["outputs"])
    assert batch_norms(after) == 0
    np.testing.assert_allclose(run(after), run(before), rtol=1e-5, atol=1e-5)
    assert np.abs(run(after)).max() > 0.1


def test_the_given_graph_is_left_as_it_was():
    before = frozen(convolution)
    copy = before.SerializeToString(deterministic=True)
    folding.fold_batch_norms(before, ["outputs"])
    assert before.SerializeToString(deterministic=True) == copy


def test_batch_statistics_cannot_be_folded():
    graph_def = frozen(
        lambda images: layers.batch_norm(images, mode=layers.Mode(True, True), scope="BatchNorm")
    )
    with pytest.raises(ValueError, match="batch statistics"):
        folding.fold_batch_norms(graph_def, ["outputs"])
