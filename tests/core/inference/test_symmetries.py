"""Flips, turns and the two means of test-time augmentation."""

import json

import numpy as np
import pytest

from core.inference import merging, tta, windows
from core.network import Outputs
from core.task import MULTICLASS, TASKS
from options.averaging import Averaging
from options.network import NetworkSpec
from tests.golden import rules
from tests.resources import golden_folder
from utils.compat import tf
from utils.errors import OptionError

BINARY = TASKS["binary"]
SPEC = NetworkSpec.of()
ALL = {"flip": True, "rotate": True}


def probability(image, waves=0.0):
    """The stored numbers' stand-in for a network: p of a picture [..., h, w, 3], upright or not.

    It cannot tell turns from mirrors, both of which average x, 1 - x, y and 1 - y; waves can.
    """
    down, right = (np.linspace(0.0, 1.0, side) for side in image.shape[-3:-1])
    red, blue = image[..., 0] / 255.0, image[..., 2] / 255.0
    down = down[:, np.newaxis]
    return 0.6 * red + 0.25 * down + 0.15 * right * blue + waves * np.sin(7 * down + 3 * right)


def wavy(image):
    return 0.5 * probability(image, waves=0.2) + 0.1


@pytest.fixture
def standing_in(monkeypatch, request):
    """Puts a stand-in in the network's place; collects the crop and the size of each run."""
    seen, function = [], getattr(request, "param", probability)

    def build(images, spec, channels, *, crop_size=None):
        seen.append((crop_size, images.shape.as_list()))
        found = tf.py_func(lambda array: np.float32(function(array)), [images], tf.float32)
        found.set_shape(images.shape[:3])
        return Outputs(BINARY.logits_of(found[..., tf.newaxis]), {})

    monkeypatch.setattr(tta.network, "build", build)
    return seen


def predicted(image, **settings):
    """Returns the stand-in's probabilities of an image [h, w, 3]."""
    size = image.shape[:2]
    batch = tf.constant(image[np.newaxis], tf.float32)
    found = tta.predict(batch, SPEC, 2, task=BINARY, crop_size=size, **settings).probabilities
    with tf.Session() as session:
        return session.run(found)[0, ..., 0]


def by_hand(image, symmetries, function=probability):
    """Returns the mean of a stand-in over pairs of numpy functions: there and back."""
    return np.mean([back(function(there(image))) for there, back in symmetries], axis=0)


def same(array):
    return array


def turned(count):
    return lambda array: np.rot90(array, count), lambda array: np.rot90(array, -count)


def mirrored_and_turned(count):
    return (
        lambda array: np.rot90(array[:, ::-1], count),
        lambda array: np.rot90(array, -count)[:, ::-1],
    )


E = (same, same)
H = (np.fliplr, np.fliplr)
V = (np.flipud, np.flipud)
TURNS = [turned(count) for count in range(4)]
EIGHT = TURNS + [mirrored_and_turned(count) for count in range(4)]
SETS = [
    ({"flip": True}, [E, H]),
    ({"vertical_flip": True}, [E, V]),
    ({"flip": True, "vertical_flip": True}, [E, H, V, turned(2)]),
    ({"rotate": True}, TURNS),
    ({"rotate": True, "flip": True}, EIGHT),
    ({"rotate": True, "vertical_flip": True}, EIGHT),
]


@pytest.mark.parametrize("standing_in", [wavy], indirect=True)
@pytest.mark.parametrize("size", [(24, 24), (24, 32)])
@pytest.mark.parametrize(("settings", "symmetries"), SETS)
def test_each_setting_averages_the_symmetries_that_it_generates(
    settings, symmetries, size, standing_in
):
    image = rules.noise_image(5, *size)
    assert Averaging(**settings).runs == len(symmetries)
    actual = predicted(image, **settings)
    np.testing.assert_allclose(actual, by_hand(image, symmetries, wavy), atol=1e-5)


def test_images_of_one_size_are_one_batch_and_turned_ones_get_the_turned_crop(standing_in):
    predicted(rules.noise_image(5, 24, 24), **ALL)
    assert standing_in == [((24, 24), [8, 24, 24, 3])]
    standing_in.clear()
    predicted(rules.noise_image(5, 24, 32), **ALL)
    assert standing_in == [((24, 32), [4, 24, 32, 3]), ((32, 24), [4, 32, 24, 3])]


def golden_cases():
    """Yields (value, images, stored) of `testTimeAugmentation`; the stored are [n, h, w]."""
    folder = golden_folder() / "musket"
    described = json.loads((folder / "predict.json").read_text(encoding="utf-8"))
    arrays = np.load(str(folder / "predict.npz"))
    makers = {"noise": rules.noise_image, "tinted": rules.tinted_image}
    for case in described["tta"]:
        images = [makers[kind](*numbers) for kind, *numbers in case["images"]]
        yield case["testTimeAugmentation"], images, arrays[case["array"]][..., 0]


def test_the_stored_numbers_of_the_keras_pipeline_come_out(standing_in):
    seen = []
    for value, images, stored in golden_cases():
        averaging = Averaging.of_keras(value)
        for image, expected in zip(images, stored):
            is_square = image.shape[0] == image.shape[1]
            actual = predicted(
                image,
                flip=averaging.flip,
                vertical_flip=averaging.vertical_flip,
                rotate=averaging.rotate,
            )
            if value == "Horizontal_and_vertical":
                # The original counts the upright picture twice and forgets the half turn.
                np.testing.assert_allclose(by_hand(image, [E, E, H, V]), expected, atol=1e-5)
                expected = by_hand(image, [E, H, V, turned(2)])
            if value is True and not is_square:
                # The original's turns cut what sticks out.
                assert np.abs(actual - expected).max() > 0.1
                expected = by_hand(image, EIGHT)
            np.testing.assert_allclose(actual, expected, atol=1e-5)
            seen.append((value, is_square))
    assert len(set(seen)) == 8


def test_stitched_cells_are_those_of_the_keras_pipeline_but_counted_once():
    folder = golden_folder() / "musket"
    described = json.loads((folder / "predict.json").read_text(encoding="utf-8"))
    arrays = np.load(str(folder / "predict.npz"))
    for case in described["crops"]:
        image, stored = rules.noise_image(*case["image"][1:]), arrays[case["array"]][0]
        counts = np.zeros([*image.shape[:2], 1])
        for rows in windows.cells_of(image.shape[0], case["crops"]):
            for columns in windows.cells_of(image.shape[1], case["crops"]):
                counts[rows, columns] += 1
        grid = windows.Grid(case["crops"])
        found = windows.stitched(image, grid, lambda cell: probability(cell)[..., np.newaxis])
        np.testing.assert_allclose(found * counts, stored, atol=1e-5)
    assert counts.max() == 4


def test_predictions_that_are_not_turned_back_are_refused():
    with pytest.raises(OptionError, match="flipPred"):
        Averaging.of_keras("Horizontal", flip_pred=False)
    assert Averaging.of_keras(None, flip_pred=False) == Averaging()


def test_turns_of_a_pooling_window_that_does_not_turn_are_refused():
    spec = NetworkSpec.of(image_pooling_crop_size=(33, 41))
    images = tf.zeros([1, 33, 41, 3])
    with pytest.raises(OptionError, match="--add_rotated_images.*33x41"):
        tta.predict(images, spec, 3, crop_size=(33, 41), rotate=True)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_geometric_mean_is_that_of_the_probabilities_normalized(task):
    task = TASKS[task]
    random = np.random.RandomState(0)
    logits = random.normal(0, 3, [5, 2, 3, 4, task.channels(2)]).astype(np.float32)
    parts = [task.activate_array(part) for part in logits]
    assert parts[0].dtype == np.float32
    product = np.exp(np.mean(np.log(np.float64(parts)), axis=0))
    rest = product.sum(-1, keepdims=True)
    if task is not MULTICLASS:
        rest = product + np.exp(np.mean(np.log1p(-np.float64(parts)), axis=0))
    merger = merging.Merger("gmean", task)
    for part in parts:
        merger.add(tf.constant(part))
    with tf.Session() as session:
        in_graph = session.run(merger.result())
    np.testing.assert_allclose(in_graph, product / rest, atol=1e-5)
    outside = merging.merged(parts, "gmean", task)
    np.testing.assert_allclose(outside, product / rest, atol=1e-5)
    assert outside.dtype == np.float32


def test_certain_probabilities_have_a_geometric_mean():
    parts = [np.float32([[1.0, 0.0]]), np.float32([[0.0, 1.0]]), np.float32([[1.0, 0.0]])]
    merged = merging.merged(parts, "gmean", MULTICLASS)
    assert merged[0, 0] > 0.99
    parts = [part[:, :1] for part in parts]
    assert merging.merged(parts, "gmean", BINARY)[0, 0] > 0.99


def test_one_run_stays_as_it_is():
    part = np.float32([[0.25, 0.75]])
    assert merging.merged([part], "gmean", MULTICLASS) is part
