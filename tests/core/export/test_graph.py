"""The graph around the network: preparation, padding, and the way back."""

import numpy as np
import pytest
from PIL import Image

from core.export import graph
from core.export.artifact import Network
from core.inference import tta
from datasets.pipeline import preprocess
from options.data import InputOptions
from options.network import NetworkSpec
from tests import resources
from tests.golden import logits as golden_logits
from tests.golden import rules
from utils import image_ops
from utils.classes import ClassSet, default_names
from utils.compat import tf

CLASSES = 5
CROP = (33, 41)
# The small network as constants, made once.
FROZEN = []
SMALL = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=16, output_stride=16)


def network(options=SMALL, crop=CROP, count=CLASSES, task="multiclass", **changes):
    settings = {
        "scales": (1.0,),
        "flip": False,
        "pad_color": (127.5, 127.5, 127.5),
        "resize": None,
        **changes,
    }
    classes = ClassSet(default_names(count), task=task)
    return Network(options, classes, tuple(crop), **settings)


def photo(height, width, seed=0):
    coarse = np.random.RandomState(seed).randint(0, 256, [5, 6, 3]).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BILINEAR))


def freeze(exported, salt=""):
    if exported != network():
        return _freeze(exported, salt)
    if not FROZEN:
        FROZEN.append(_freeze(exported, salt))
    return FROZEN[0]


def _freeze(exported, salt):
    with tf.Graph().as_default(), tf.Session() as session:
        graph.build_live(exported)
        golden_logits.load_weights(session, salt)
        return graph.freeze(session)


def run_flexible(exported, image, salt=""):
    """Returns the arrays of a frozen graph's outputs."""
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph.flexible(freeze(exported, salt), exported, "{}"), name="")
        names = [graph.LABELS, graph.PROBABILITIES, graph.RAW_LABELS, graph.RAW_PROBABILITIES]
        with tf.Session(graph=loaded) as session:
            values = session.run(
                [f"{name}:0" for name in names], {f"{graph.INPUT}:0": image[np.newaxis]}
            )
    return dict(zip(names, values))


def predicted(exported, prepared):
    """Returns the network's probabilities of a prepared image, float32 [h, w, 3]."""
    with tf.Graph().as_default(), tf.Session() as session:
        probabilities = tta.predict(
            tf.constant(prepared[np.newaxis]),
            exported.spec,
            exported.classes.count,
            scales=exported.scales,
            flip=exported.flip,
            crop_size=exported.crop_size,
        ).probabilities
        golden_logits.load_weights(session)
        return session.run(probabilities)[0]


def test_a_small_image_is_padded_and_the_padding_cut_off_again():
    exported, image = network(), photo(20, 31)
    outputs = run_flexible(exported, image)
    padded = np.full([*CROP, 3], 127.5, np.float32)
    padded[:20, :31] = image
    expected = predicted(exported, padded)
    np.testing.assert_allclose(outputs[graph.RAW_PROBABILITIES][0], expected, atol=1e-5)
    np.testing.assert_allclose(outputs[graph.PROBABILITIES][0], expected[:20, :31], atol=1e-5)
    assert outputs[graph.LABELS].shape == (1, 20, 31)
    np.testing.assert_array_equal(outputs[graph.LABELS][0], outputs[graph.RAW_LABELS][0, :20, :31])


@pytest.mark.parametrize(("task", "count", "shape"), [("binary", 2, ()), ("multilabel", 3, (3,))])
def test_labels_of_a_threshold_are_those_of_the_probabilities(task, count, shape):
    image = photo(66, 50)
    found = run_flexible(network(count=count, task=task), image)
    threshold = float(np.median(found[graph.RAW_PROBABILITIES]))
    outputs = run_flexible(network(count=count, task=task, threshold=threshold), image)
    raw = outputs[graph.RAW_PROBABILITIES] > threshold
    assert 0 < raw.mean() < 1
    labels = outputs[graph.RAW_LABELS]
    assert labels.shape == (1, *CROP, *shape)
    assert np.mean(labels.ravel() == raw.ravel()) > 0.999
    assert outputs[graph.LABELS].shape == (1, 66, 50, *shape)
    assert outputs[graph.LABELS].dtype == np.int32
    assert set(np.unique(outputs[graph.LABELS])) == {0, 1}


def test_types_of_the_outputs_are_those_of_the_reference():
    outputs = run_flexible(network(), photo(*CROP))
    assert outputs[graph.LABELS].dtype == np.int32
    for name in (graph.RAW_LABELS, graph.PROBABILITIES, graph.RAW_PROBABILITIES):
        assert outputs[name].dtype == np.float32


def test_an_image_above_the_crop_is_shrunk_and_its_labels_enlarged():
    exported, image = network(), photo(66, 50)
    outputs = run_flexible(exported, image)
    with tf.Session() as session:
        shrunk = session.run(image_ops.resize_bilinear(image, (33, 25)))
    padded = np.full([*CROP, 3], 127.5, np.float32)
    padded[:33, :25] = shrunk
    expected = predicted(exported, padded)
    np.testing.assert_allclose(outputs[graph.RAW_PROBABILITIES][0], expected, atol=1e-5)
    assert outputs[graph.LABELS].shape == (1, 66, 50)
    assert outputs[graph.PROBABILITIES].shape == (1, 66, 50, CLASSES)
    np.testing.assert_allclose(outputs[graph.PROBABILITIES].sum(3), 1, atol=1e-5)


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
    outputs = run_flexible(exported, image)
    np.testing.assert_allclose(
        outputs[graph.RAW_PROBABILITIES][0], predicted(exported, prepared), atol=1e-5
    )
    assert outputs[graph.LABELS].shape == (1, 50, 61)


@pytest.mark.parametrize(("scales", "flip"), [((1.0,), True), ((0.75, 1.25), True)])
def test_scales_and_flips_are_averaged_once(scales, flip):
    exported, image = network(scales=scales, flip=flip), photo(*CROP)
    outputs = run_flexible(exported, image)
    expected = predicted(exported, image.astype(np.float32))
    np.testing.assert_allclose(outputs[graph.PROBABILITIES][0], expected, atol=1e-5)
    np.testing.assert_allclose(outputs[graph.PROBABILITIES].sum(3), 1, atol=1e-5)


def test_a_frozen_graph_has_neither_variables_nor_batch_norm_nor_dropout():
    graph_def = graph.flexible(freeze(network()), network(), "{}")
    operations = {node.op for node in graph_def.node}
    assert not [
        name for name in operations if "Variable" in name or "BatchNorm" in name or "Random" in name
    ]


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_every_shape_of_the_fixed_graph_is_static(dtype):
    graph_def = graph.fixed(freeze(network()), network(), getattr(tf, dtype))
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph_def, name="")
    for operation in loaded.get_operations():
        for tensor in operation.outputs:
            assert tensor.shape.is_fully_defined(), tensor
    assert loaded.get_tensor_by_name("ImageTensor:0").dtype == getattr(tf, dtype)
    assert loaded.get_tensor_by_name("SemanticPredictions:0").dtype == tf.int32


def test_a_frozen_file_gives_back_what_was_saved(tmp_path):
    exported, image = network(), photo(20, 31)
    path = str(tmp_path / "model.pb")
    graph.save(graph.flexible(freeze(exported), exported, '{"a": 1}'), path)
    with graph.opened(path) as run:
        labels, probabilities = run(image)
    expected = run_flexible(exported, image)
    np.testing.assert_array_equal(labels, expected[graph.LABELS][0])
    np.testing.assert_array_equal(probabilities, expected[graph.PROBABILITIES][0])


GOLDEN = ["mnv2_dm05_os8"]


def golden_names():
    """Returns a manifest's name for each test: some, and the others as slow ones."""
    slow = [
        "r50beta_os16_prob_then_resize",
        "r18_os16",
        "r101_os8",
        "x41_os16_decoder4",
        "mnv3small_os16",
        "r50_os16_se_qsigmoid",
    ]
    slow += ["r50beta_os16_pyramid_max", "r50beta_os16_nobn_aspp", "x65_os16"]
    return GOLDEN + [pytest.param(name, marks=pytest.mark.slow) for name in slow]


@pytest.mark.parametrize("name", golden_names())
def test_raw_nodes_equal_the_reference(name):
    folder = resources.golden_folder()
    manifest = resources.golden_json(f"logits/{name}.json")
    config = manifest["config"]
    options = golden_logits.options_of(config, folder)
    exported = network(options, config["crop"], 21, pad_color=(123.15, 115.9, 103.06))
    expected = np.load(folder / "logits" / f"{name}.npz")
    batch = rules.images(config["images"], folder / "photos.npz")
    for index, image in enumerate(batch.astype(np.uint8)):
        outputs = run_flexible(exported, image, config.get("salt", ""))
        labels = outputs[graph.RAW_LABELS][0]
        assert np.mean(labels == expected["labels"][index]) >= 0.999
        probabilities = outputs[graph.RAW_PROBABILITIES][0, ::8, ::8]
        np.testing.assert_allclose(probabilities, expected["prob"][index], atol=1e-4)
