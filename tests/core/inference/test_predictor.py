"""Prediction outside of a graph: any size, windows, several checkpoints."""

import numpy as np
import pytest

from core import network
from core.inference import predictor, tta
from core.inference.predictor import Member, Predictor
from core.inference.windows import Grid, Windows
from options.network import NetworkSpec
from tests.small_networks import SMALL, save_checkpoint
from utils.compat import tf
from utils.errors import UserError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

CLASSES = 4
RESNET = NetworkSpec.of(model_variant="resnet_v1_18", aspp_convs_filters=8)


def _save(folder, options, factor=1.0):
    """Saves a network with rule-made weights, those of the last layer times a factor."""
    return Member(save_checkpoint(folder, CLASSES, options, factor), options)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    return [
        _save(tmp_path_factory.mktemp("a"), SMALL),
        _save(tmp_path_factory.mktemp("b"), SMALL, -0.5),
        _save(tmp_path_factory.mktemp("c"), RESNET),
    ]


def _image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [height, width, 3]).astype(np.uint8)


def _in_graph(member, *images, **settings):
    """Returns the probabilities of each image, from one graph."""
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = [
            tta.predict(
                tf.constant(image[np.newaxis].astype(np.float32)), member.spec, CLASSES, **settings
            ).probabilities[0]
            for image in images
        ]
        tf.train.Saver().restore(session, member.checkpoint_path)
        return session.run(outputs)


@pytest.mark.parametrize(
    "settings", [{}, {"scales": (0.5, 1.25), "flip": True}, {"rotate": True, "average": "gmean"}]
)
def test_an_image_of_any_size_is_predicted_as_in_a_graph(members, settings):
    images = [_image(*size) for size in ((40, 53), (61, 20))]
    with Predictor(members[:1], num_classes=CLASSES, **settings) as predicted:
        for image, expected in zip(images, _in_graph(members[0], *images, **settings)):
            probabilities = predicted.probabilities(image)
            assert probabilities.dtype == np.float32
            np.testing.assert_allclose(probabilities, expected, atol=1e-5)
            labels = predicted.labels(image)
            assert labels.dtype == np.int32
            assert labels.shape == image.shape[:2]
            assert np.mean(labels == expected.argmax(2)) > 0.999


def test_a_smaller_image_is_padded_to_the_crop_with_the_networks_color(members):
    image = _image(30, 41)
    padded = np.zeros([49, 57, 3], np.float32)
    padded[:] = network.pad_color(RESNET)
    padded[:30, :41] = image
    with Predictor(members[2:], num_classes=CLASSES, crop_size=(49, 57)) as predicted:
        actual = predicted.probabilities(image)
        with pytest.raises(UserError, match="50x30 .* 49x57"):
            predicted.labels(_image(50, 30))
    (expected,) = _in_graph(members[2], padded, crop_size=(49, 57))
    np.testing.assert_allclose(actual, expected[:30, :41], atol=1e-5)


def test_several_checkpoints_are_averaged_also_of_other_architectures(members):
    image = _image(35, 44)
    with Predictor(members, num_classes=CLASSES, flip=True) as predicted:
        probabilities, labels = predicted.probabilities(image), predicted.labels(image)
    alone = [_in_graph(member, image, flip=True)[0] for member in members]
    np.testing.assert_allclose(probabilities, np.mean(alone, axis=0), atol=1e-5)
    np.testing.assert_array_equal(labels, probabilities.argmax(2))
    assert np.any(labels != alone[0].argmax(2))


def test_several_checkpoints_have_a_geometric_mean(members):
    image = _image(35, 44)
    with Predictor(members[:2], num_classes=CLASSES, average="gmean", flip=True) as predicted:
        probabilities = predicted.probabilities(image)
    views = []
    for member in members[:2]:
        upright, mirrored = _in_graph(member, image, image[:, ::-1])
        views += [upright, mirrored[:, ::-1]]
    product = np.exp(np.mean(np.log(views), axis=0))
    expected = product / product.sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_every_cell_of_a_grid_is_an_image_of_its_own(members):
    image = _image(40, 50)
    cells = [image[:20, :25], image[:20, 25:], image[20:, :25], image[20:, 25:]]
    with Predictor(members[:1], num_classes=CLASSES, windows=Grid(2)) as predicted:
        found, labels = predicted.probabilities(image), predicted.labels(image)
    parts = _in_graph(members[0], *cells)
    expected = np.concatenate(
        [np.concatenate(parts[:2], axis=1), np.concatenate(parts[2:], axis=1)]
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, found.argmax(2))


def test_an_image_above_the_budget_is_the_blend_of_its_windows(members):
    image = _image(33, 66)
    cut = Windows((33, 49), 0.5)
    with Predictor(members[:2], num_classes=CLASSES, windows=cut) as predicted:
        probabilities, labels = predicted.probabilities(image), predicted.labels(image)
        small = predicted.probabilities(image[:, :30])
    halves = [image[:, left : left + 49] for left in (0, 17)]
    alone = np.mean(
        [_in_graph(member, *halves, crop_size=(33, 49)) for member in members[:2]], axis=0
    )
    np.testing.assert_allclose(probabilities[:, :17], alone[0][:, :17], atol=1e-5)
    np.testing.assert_allclose(probabilities[:, 49:], alone[1][:, 32:], atol=1e-5)
    between = probabilities[:, 17:49]
    lower, upper = (
        np.minimum(alone[0][:, 17:], alone[1][:, :32]),
        np.maximum(alone[0][:, 17:], alone[1][:, :32]),
    )
    assert np.all((between >= lower - 1e-5) & (between <= upper + 1e-5))
    np.testing.assert_allclose(probabilities.sum(2), 1.0, atol=1e-5)
    np.testing.assert_array_equal(labels, probabilities.argmax(2))
    # Within the budget an image is seen whole.
    whole = np.mean([_in_graph(member, image[:, :30])[0] for member in members[:2]], axis=0)
    np.testing.assert_allclose(small, whole, atol=1e-5)


def test_a_checkpoint_of_other_classes_or_another_network_is_a_sentence(members):
    with pytest.raises(UserError, match="4 outputs .* has 21 classes"):
        Predictor(members[:1], num_classes=21)
    wrong = Member(members[0].checkpoint_path, RESNET)
    with pytest.raises(UserError, match="does not fit the network"):
        Predictor([members[0], wrong], num_classes=CLASSES)
    with pytest.raises(UserError, match="no checkpoint at nowhere"):
        predictor.check_classes(Member("nowhere", RESNET), 4)
