"""Frozen graphs and SavedModels answer, or say why not."""

import json
import os

import numpy as np
import pytest

from core.inference import segmenter, steps
from core.inference.exported_model import ExportedModel, is_exported_model
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

METADATA = {
    "num_classes": 3,
    "class_names": ["red", "green", "blue"],
    "colors": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
    "inference": {"crop_size": [20, 30]},
    "preprocessing": {"pad_color": [7.0, 7.0, 7.0]},
}


def _build(dtype=tf.uint8, size=(None, None)):
    """Builds a network whose classes are the channels; returns input, labels, probabilities."""
    images = tf.placeholder(dtype, [1, *size, 3], name="ImageTensor")
    scores = tf.cast(images, tf.float32)
    probabilities = tf.nn.softmax(scores / 10, name="SemanticProbabilities")
    labels = tf.argmax(probabilities, 3, output_type=tf.int32, name="SemanticPredictions")
    return images, labels, probabilities


def _frozen(tmp_path, metadata=METADATA, **settings):
    with tf.Graph().as_default() as graph:
        _build(**settings)
        if metadata:
            tf.constant(json.dumps(metadata), name="Metadata")
    path = tmp_path / "network.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return str(path)


def _saved(tmp_path, signature="any name", keys=("image", "mask", "scores")):
    path = str(tmp_path / "saved")
    with tf.Graph().as_default(), tf.Session() as session:
        images, labels, probabilities = _build()
        builder = tf.saved_model.Builder(path)
        method = tf.saved_model.predict_signature_def(
            {keys[0]: images}, {keys[1]: labels, keys[2]: probabilities}
        )
        builder.add_meta_graph_and_variables(session, ["serve"], {signature: method})
        builder.save()
    os.makedirs(f"{path}/assets", exist_ok=True)
    with open(f"{path}/assets/metadata.json", "w") as file:
        json.dump(METADATA, file)
    return path


def _image(height, width):
    return np.random.RandomState(0).randint(0, 256, [height, width, 3]).astype(np.uint8)


@pytest.mark.parametrize("make", [_frozen, _saved])
def test_labels_and_classes_come_out(make, tmp_path):
    path = make(tmp_path)
    assert is_exported_model(path)
    image = _image(20, 25)
    with segmenter.load(path) as network:
        result = network.segment(image, probabilities=True)
        assert network.classes.names == ("red", "green", "blue")
        np.testing.assert_array_equal(network.segment(image).labels, image.argmax(2))
    assert result.probabilities.shape == (20, 25, 3)
    np.testing.assert_array_equal(result.labels, image.argmax(2))


def test_a_large_photo_is_shrunk_to_what_the_model_was_exported_for(tmp_path):
    image = np.zeros([80, 90, 3], np.uint8)
    image[:, :45, 1] = image[:, 45:, 2] = 200
    with segmenter.load(_frozen(tmp_path)) as network:
        labels = network.segment(image).labels
    assert labels.shape == (80, 90)
    assert (labels[:, :43] == 1).all()
    assert (labels[:, 47:] == 2).all()


@pytest.mark.parametrize("dtype", [tf.uint8, tf.int32, tf.float32])
def test_a_model_of_a_fixed_size_gets_padded_images(tmp_path, dtype):
    path = _frozen(tmp_path, dtype=dtype, size=(20, 30))
    model = ExportedModel(path)
    assert model.fixed_size == (20, 30)
    model.close()
    image = _image(15, 30)
    with segmenter.load(path) as network:
        np.testing.assert_array_equal(network.segment(image).labels, image.argmax(2))
        assert network.segment(_image(50, 70)).labels.shape == (50, 70)


def test_the_steps_that_the_metadata_name_run_on_the_labels_unless_others_are_given(tmp_path):
    texts = ["min_object=9", "fill_holes@green"]
    path = _frozen(tmp_path, {**METADATA, "inference": {"postprocess": texts}})
    image = _image(20, 25)
    for given, used in ((None, texts), ([], []), (["largest_object"], ["largest_object"])):
        with segmenter.load(path, postprocess=given) as network:
            clean = steps.create(used, network.classes) or (lambda labels: labels)
            assert network.description["postprocess"] == used
            expected = clean(image.argmax(2).astype(np.uint8))
            for result in (network.segment(image), network.segment(image, probabilities=True)):
                assert result.labels.dtype == np.uint8
                np.testing.assert_array_equal(result.labels, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["min_objects=9"], "min_objects is not a known"),
        (["evil.py:run"], "evil.py:run is code"),
        ("fill_holes", "no list of texts"),
        ([3], "no list of texts"),
    ],
)
def test_steps_of_foreign_metadata_are_checked(tmp_path, content, message):
    path = _frozen(tmp_path, {**METADATA, "inference": {"postprocess": content}})
    with pytest.raises(UserError, match=f"network.pb names .*{message}"):
        segmenter.load(path)
    with segmenter.load(path, postprocess=[]):
        pass


def test_an_export_of_others_has_no_metadata(tmp_path):
    with segmenter.load(_frozen(tmp_path, metadata=None)) as network:
        assert network.description["crop_size"] == [513, 513]
        assert network.classes.names == ("class_0", "class_1", "class_2")


def test_classes_are_those_named_saved_usual_or_numbered(tmp_path):
    def names(metadata=None, **settings):
        with segmenter.load(_frozen(tmp_path, metadata=metadata), **settings) as network:
            return "".join(network.classes.names)

    usual = ClassSet("abc")
    assert names(METADATA, usual_classes=usual) == "redgreenblue"
    assert names(METADATA, classes=ClassSet("xyz")) == "xyz"
    assert names(usual_classes=usual) == "abc"
    assert names(usual_classes=ClassSet("ab")) == "class_0class_1class_2"
    with pytest.raises(UserError, match="3 outputs .* 2 classes"):
        names(classes=ClassSet("ab"))


@pytest.mark.parametrize(
    "image", [np.zeros([4, 5], np.uint8), np.zeros([4, 5, 3]), np.zeros([0, 5, 3], np.uint8)]
)
def test_what_is_no_photo_is_refused(tmp_path, image):
    with segmenter.load(_frozen(tmp_path)) as network, pytest.raises(ValueError, match="uint8"):
        network.segment(image)


def test_a_graph_without_probabilities_gives_labels_only(tmp_path):
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.uint8, [1, None, None, 3], name="ImageTensor")
        tf.argmax(images, 3, name="SemanticPredictions")
        tf.constant(json.dumps(METADATA), name="Metadata")
    path = tmp_path / "labels.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with segmenter.load(str(path)) as network:
        assert network.segment(_image(60, 60)).labels.shape == (60, 60)
        with pytest.raises(UserError, match="SemanticProbabilities"):
            network.segment(_image(10, 10), probabilities=True)


def test_what_is_no_such_model_is_a_sentence(tmp_path):
    other, empty, text = (tmp_path / name for name in ("other.pb", "empty.pb", "text.pb"))
    with tf.Graph().as_default() as graph:
        tf.placeholder(tf.float32, [], name="x")
    other.write_bytes(graph.as_graph_def().SerializeToString())
    empty.write_bytes(b"")
    text.write_text("this is no graph")
    with pytest.raises(UserError, match=r"ImageTensor.*SemanticPred.*inputs are x"):
        segmenter.load(str(other))
    for path in (empty, text):
        with pytest.raises(UserError, match=r"--model="):
            segmenter.load(str(path))
    with pytest.raises(UserError, match=r"nowhere.pb cannot be read: No such file"):
        segmenter.load(str(tmp_path / "nowhere.pb"))


def test_a_saved_model_that_cannot_be_used_is_a_sentence(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("no model")
    with pytest.raises(UserError, match="--model=.*broken"):
        segmenter.load(str(folder))
    path = str(tmp_path / "other")
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [3])
        tf.saved_model.simple_save(session, path, {"x": x}, {"y": x + 1})
    with pytest.raises(UserError, match=r"signature.*serving_default"):
        segmenter.load(path)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"scales": (0.5, 1.0)}, "--eval_scales"),
        ({"flip": True}, "--add_flipped_images"),
        ({"rotate": True}, "--add_rotated_images"),
    ],
)
def test_what_was_set_at_the_export_cannot_be_changed(tmp_path, settings, name):
    with pytest.raises(OptionError, match=name):
        segmenter.load(_frozen(tmp_path), **settings)
