"""The graph around the network: preparation, padding, and the way back."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from core.export import graph
from core.inference import tta
from core.inference.thresholds import Thresholds
from datasets.pipeline import preprocess
from options.averaging import Averaging
from options.data import InputOptions
from tests.golden import logits as golden_logits
from tests.small_exports import CLASSES, CROP, freeze, network, run_flexible
from utils import image_ops
from utils.compat import tf

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")


def photo(height, width, seed=0):
    coarse = np.random.RandomState(seed).randint(0, 256, [5, 6, 3]).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BILINEAR))


SMALLER, LARGER = photo(20, 31), photo(66, 50)


@pytest.fixture(scope="module")
def frozen():
    """The small network as constants."""
    return freeze(network())


@pytest.fixture(scope="module")
def outputs(frozen):
    """What it returns for an image smaller than the crop, and for a larger one."""
    return run_flexible(network(), frozen, SMALLER, LARGER)


def predicted(exported, prepared):
    """Returns the network's probabilities of a prepared image, float32 [h, w, 3]."""
    with tf.Graph().as_default(), tf.Session() as session:
        probabilities = tta.predict(
            tf.constant(prepared[np.newaxis]),
            exported.spec,
            exported.classes.count,
            crop_size=exported.crop_size,
            **dataclasses.asdict(exported.averaging),
        ).probabilities
        golden_logits.load_weights(session)
        return session.run(probabilities)[0]


def test_a_small_image_is_padded_and_the_padding_cut_off_again(outputs):
    found = outputs[0]
    padded = np.full([*CROP, 3], 127.5, np.float32)
    padded[:20, :31] = SMALLER
    expected = predicted(network(), padded)
    np.testing.assert_allclose(found[graph.RAW_PROBABILITIES][0], expected, atol=1e-5)
    np.testing.assert_allclose(found[graph.PROBABILITIES][0], expected[:20, :31], atol=1e-5)
    assert found[graph.LABELS].shape == (1, 20, 31)
    np.testing.assert_array_equal(found[graph.LABELS][0], found[graph.RAW_LABELS][0, :20, :31])


@pytest.mark.parametrize(("task", "count", "shape"), [("binary", 2, ()), ("multilabel", 3, (3,))])
def test_labels_of_a_threshold_are_those_of_the_probabilities(task, count, shape):
    exported = network(count=count, task=task)
    (found,) = run_flexible(exported, freeze(exported), LARGER)
    threshold = float(np.median(found[graph.RAW_PROBABILITIES]))
    exported = network(count=count, task=task, thresholds=Thresholds((threshold,), "test"))
    (found,) = run_flexible(exported, freeze(exported), LARGER)
    raw = found[graph.RAW_PROBABILITIES] > threshold
    assert 0 < raw.mean() < 1
    labels = found[graph.RAW_LABELS]
    assert labels.shape == (1, *CROP, *shape)
    assert np.mean(labels.ravel() == raw.ravel()) > 0.999
    assert found[graph.LABELS].shape == (1, 66, 50, *shape)
    assert found[graph.LABELS].dtype == np.int32
    assert set(np.unique(found[graph.LABELS])) == {0, 1}


def test_types_of_the_outputs_are_those_of_the_reference(outputs):
    for found in outputs:
        assert found[graph.LABELS].dtype == np.int32
        for name in (graph.RAW_LABELS, graph.PROBABILITIES, graph.RAW_PROBABILITIES):
            assert found[name].dtype == np.float32


def test_an_image_above_the_crop_is_shrunk_and_its_labels_enlarged(outputs):
    found = outputs[1]
    with tf.Session() as session:
        shrunk = session.run(image_ops.resize_bilinear(LARGER, (33, 25)))
    padded = np.full([*CROP, 3], 127.5, np.float32)
    padded[:33, :25] = shrunk
    expected = predicted(network(), padded)
    np.testing.assert_allclose(found[graph.RAW_PROBABILITIES][0], expected, atol=1e-5)
    assert found[graph.LABELS].shape == (1, 66, 50)
    assert found[graph.PROBABILITIES].shape == (1, 66, 50, CLASSES)
    np.testing.assert_allclose(found[graph.PROBABILITIES].sum(3), 1, atol=1e-5)


@pytest.mark.parametrize("keep_aspect_ratio", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_images_are_resized_as_in_evaluation(keep_aspect_ratio):
    resize = {"min_size": 25, "max_size": 33, "factor": 8, "keep_aspect_ratio": keep_aspect_ratio}
    exported, image = network(crop=(41, 41), resize=resize), photo(50, 61)
    options = InputOptions(
        min_resize_value=25,
        max_resize_value=33,
        resize_factor=8,
        keep_aspect_ratio=keep_aspect_ratio,
        eval_crop_size=(41, 41),
    )
    with tf.Session() as session:
        prepared = session.run(
            preprocess.for_evaluation(
                tf.constant(image),
                tf.zeros([50, 61, 1], tf.uint8),
                options,
                pad_color=exported.pad_color,
                ignore_label=255,
            )[0]
        )
    (found,) = run_flexible(exported, freeze(exported), image)
    np.testing.assert_allclose(
        found[graph.RAW_PROBABILITIES][0], predicted(exported, prepared), atol=1e-5
    )
    assert found[graph.LABELS].shape == (1, 50, 61)


@pytest.mark.parametrize(
    "averaging",
    [
        Averaging(flip=True),
        Averaging(scales=(0.75, 1.25), flip=True),
        Averaging(flip=True, rotate=True, average="gmean"),
    ],
)
def test_scales_and_symmetries_are_averaged_once(averaging):
    exported, image = network(averaging=averaging), photo(*CROP)
    (found,) = run_flexible(exported, freeze(exported), image)
    expected = predicted(exported, image.astype(np.float32))
    np.testing.assert_allclose(found[graph.PROBABILITIES][0], expected, atol=1e-5)
    np.testing.assert_allclose(found[graph.PROBABILITIES].sum(3), 1, atol=1e-5)


def test_a_frozen_graph_has_neither_variables_nor_batch_norm_nor_dropout(frozen):
    operations = {node.op for node in graph.flexible(frozen, network(), "{}").node}
    assert not [
        name for name in operations if "Variable" in name or "BatchNorm" in name or "Random" in name
    ]


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_every_shape_of_the_fixed_graph_is_static(dtype, frozen):
    graph_def = graph.fixed(frozen, network(), getattr(tf, dtype))
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph_def, name="")
    for operation in loaded.get_operations():
        for tensor in operation.outputs:
            assert tensor.shape.is_fully_defined(), tensor
    assert loaded.get_tensor_by_name("ImageTensor:0").dtype == getattr(tf, dtype)
    assert loaded.get_tensor_by_name("SemanticPredictions:0").dtype == tf.int32


def test_a_frozen_file_gives_back_what_was_saved(tmp_path, frozen, outputs):
    path = str(tmp_path / "model.pb")
    graph.save(graph.flexible(frozen, network(), '{"a": 1}'), path)
    with graph.opened(path) as run:
        labels, probabilities = run(SMALLER)
    np.testing.assert_array_equal(labels, outputs[0][graph.LABELS][0])
    np.testing.assert_array_equal(probabilities, outputs[0][graph.PROBABILITIES][0])
