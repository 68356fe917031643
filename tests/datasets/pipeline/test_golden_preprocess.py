"""Preprocessing, decoding and whole records, as the reference does them."""

import hashlib

import numpy as np
import pytest

from datasets.dataset import Dataset
from datasets.pipeline import preprocess
from options.augmentation import AugmentationOptions
from options.data import InputOptions
from tests.golden import rules
from tests.resources import golden_folder, golden_json
from tests.small_data import data_config
from utils import image_ops
from utils.compat import tf
from utils.imaging import tensors

PLAIN_MEAN = (123.15, 115.9, 103.06)


@pytest.fixture(scope="module")
def golden():
    return golden_json("preprocess.json")


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(golden_folder() / "preprocess.npz"))


@pytest.fixture(scope="module")
def photos():
    return dict(np.load(golden_folder() / "photos.npz"))


@pytest.fixture(scope="module")
def image():
    return rules.noise_image(300, 23, 31).astype(np.uint8)


@pytest.fixture(scope="module")
def label():
    return rules.label_map(301, 23, 31).astype(np.uint8)


def run(tensors):
    with tf.Session() as session:
        return session.run(tensors)


def assert_same(actual, arrays, key):
    image, label = actual
    np.testing.assert_allclose(image, arrays[f"{key}_image"], atol=1e-3)
    np.testing.assert_array_equal(label, arrays[f"{key}_label"])


def test_sizes_of_resize_to_range_are_those_of_the_reference_in_numpy_and_in_the_graph(golden):
    for row in golden["resize_to_range_sizes"]["rows"]:
        height, width, min_size, max_size, factor, keep_aspect_ratio, *expected = row
        rule = {
            "min_size": min_size,
            "max_size": max_size,
            "factor": factor,
            "keep_aspect_ratio": keep_aspect_ratio,
        }
        sizes = np.array([[height], [width]], np.float32)
        in_numpy = image_ops.size_in_range(*sizes, math=np, **rule)
        assert np.concatenate(in_numpy).tolist() == expected, row


def test_sizes_in_the_graph_are_those_in_numpy(golden):
    rows = golden["resize_to_range_sizes"]["rows"]
    in_graph = [
        image_ops.size_in_range(
            tf.constant(float(row[0])),
            tf.constant(float(row[1])),
            min_size=row[2],
            max_size=row[3],
            factor=row[4],
            keep_aspect_ratio=row[5],
        )
        for row in rows
    ]
    assert [list(size) for size in run(in_graph)] == [row[6:] for row in rows]


def test_resized_values_are_those_of_the_reference(golden, arrays, image, label):
    for number, case in enumerate(golden["resize_to_range_values"]["cases"]):
        options = InputOptions(
            min_resize_value=case["min_size"],
            max_resize_value=case["max_size"],
            resize_factor=case["factor"],
        )
        resized = preprocess.resize_to_range(tf.constant(image), tf.constant(label), options)
        assert_same(run(resized), arrays, f"resize_to_range{number}")


def test_random_scales_are_those_of_the_reference(golden):
    for case in golden["random_scale_values"]:
        values = preprocess.scale_values(case["min"], case["max"], case["step"])
        np.testing.assert_allclose(values, case["values"], rtol=2e-7)


def test_random_scale_without_a_step_is_any_of_the_range():
    scales = preprocess.scale_values(0.5, 2.0, 0.0)
    chosen = run([preprocess.choose_scale(scales, tf.constant(u)) for u in (0.0, 0.5, 0.999999)])
    np.testing.assert_allclose(chosen, [0.5, 1.25, 2.0], rtol=1e-5)


def test_impossible_scale_ranges_are_refused(golden):
    for minimum, maximum, _ in golden["random_scale_errors"]:
        with pytest.raises(ValueError, match="no such range"):
            preprocess.scale_values(minimum, maximum, 0.25)


def test_scaled_values_are_those_of_the_reference(golden, arrays, image, label):
    for number, scale in enumerate(golden["scale_cases"]["scales"]):
        size = preprocess.scaled_size(tf.shape(image)[:2], tf.constant(scale))
        scaled = image_ops.resize_bilinear(image, size), image_ops.resize_nearest(label, size)
        assert_same(run(scaled), arrays, f"scale{number}")


def test_padding_is_that_of_the_reference(arrays, image, label):
    # The reference pads on all sides; ours, at the bottom and right, gives the same when turned.
    def turned(picture):
        return tf.reverse(picture, [0, 1])

    pixels = tf.constant(image.astype(np.float32))
    moved = turned(image_ops.pad(turned(pixels), 23 + 2, 31 + 3, PLAIN_MEAN))
    padded = run(
        [
            image_ops.pad(moved, 30, 40, PLAIN_MEAN),
            image_ops.pad_labels(tf.constant(label.astype(np.int32)), 30, 40, 255),
            image_ops.pad_labels(tf.constant(label), 30, 40, 255),
        ]
    )
    for actual, key in zip(padded, ("pad_image", "pad_label", "pad_uint8")):
        np.testing.assert_allclose(actual, arrays[key], atol=1e-4)
        assert actual.dtype == arrays[key].dtype


def test_crop_and_flip_are_those_of_the_reference(arrays, image, label):
    cropped = preprocess.crop(tf.constant(image), tf.constant([4, 7]), tf.constant([9, 11]))
    flips = [preprocess.flip(tf.constant(image), label, tf.constant(m)) for m in (True, False)]
    (mirrored, _), (kept, _), cropped = run([*flips, cropped])
    np.testing.assert_array_equal(cropped, arrays["crop_image"])
    np.testing.assert_array_equal(mirrored, arrays["flip_dim1"])
    np.testing.assert_array_equal(kept, image)


def test_the_whole_evaluation_path_is_that_of_the_reference(golden, arrays, photos):
    variants = golden["input_normalisation"]["variants"]
    for number, case in enumerate(golden["eval_path"]["cases"]):
        photo = photos[case["image"]]
        resize = case.get("resize", [None, None, None])
        options = InputOptions(
            eval_crop_size=case["crop"],
            min_resize_value=resize[0],
            max_resize_value=resize[1],
            resize_factor=resize[2],
        )
        label = rules.label_map(case["label_seed"], *photo.shape[:2]).astype(np.uint8)
        image, label, height, width = run(
            preprocess.for_evaluation(
                tf.constant(photo),
                tf.constant(label),
                options,
                pad_color=variants.get(case["variant"] or "(none)")["mean_pixel"],
                ignore_label=255,
            )
        )
        assert [height, width] == case["original_shape"][:2]
        assert_same((image[::6, ::6], label[::6, ::6]), arrays, f"eval{number}")
        assert image.mean() == pytest.approx(case["image_mean"], abs=1e-3)
        digest = hashlib.sha256(label.astype(np.uint8).tobytes()).hexdigest()
        assert digest == case["label_sha256"]
        assert (image.dtype, label.dtype) == (case["image_dtype"], case["label_dtype"])


def test_the_training_path_at_scale_one_gives_the_two_outcomes_of_the_reference(
    golden, arrays, photos
):
    case = golden["train_path_fixed_scale"]
    photo = photos[case["image"]]
    label = rules.label_map(case["label_seed"], *photo.shape[:2]).astype(np.uint8)
    options = InputOptions(train_crop_size=case["crop"])
    augmentation = AugmentationOptions(min_scale_factor=1, max_scale_factor=1)
    outcomes = []
    for uniform in (0.2, 0.7):
        image, label_out, _, _ = run(
            preprocess.for_training(
                preprocess.reader(tf.constant(photo)),
                tf.constant(label),
                options,
                augmentation,
                pad_color=PLAIN_MEAN,
                ignore_label=255,
                random=tf.fill([preprocess.NUM_RANDOM], uniform),
            )
        )
        outcomes.append((image, label_out))
    stored = [arrays["train_fixed0_image"], arrays["train_fixed1_image"]]
    first = int(np.abs(outcomes[0][0] - stored[1]).max() < 1e-3)
    assert_same(outcomes[0], arrays, f"train_fixed{first}")
    assert_same(outcomes[1], arrays, f"train_fixed{1 - first}")


@pytest.mark.parametrize("uniform", [0.2, 0.7])
def test_a_whole_scaled_image_is_that_of_the_reference_padded_and_mirrored(
    golden, arrays, image, label, uniform
):
    for number, scale in enumerate(golden["scale_cases"]["scales"]):
        options = InputOptions(train_crop_size=(70, 71))
        augmentation = AugmentationOptions(min_scale_factor=scale, max_scale_factor=scale)
        found, found_label, height, width = run(
            preprocess.for_training(
                preprocess.reader(tf.constant(image)),
                tf.constant(label),
                options,
                augmentation,
                pad_color=PLAIN_MEAN,
                ignore_label=255,
                random=tf.fill([preprocess.NUM_RANDOM], uniform),
            )
        )
        if uniform <= preprocess.FLIP_PROBABILITY:
            found, found_label = found[:, ::-1], found_label[:, ::-1]
        assert_same(
            (found[:height, :width], found_label[:height, :width]), arrays, f"scale{number}"
        )
        np.testing.assert_array_equal(found_label[height:], 255)
        np.testing.assert_array_equal(found_label[:, width:], 255)
        for beside in (found[height:], found[:, width:]):
            np.testing.assert_array_equal(
                beside, np.broadcast_to(np.float32(PLAIN_MEAN), beside.shape)
            )


def test_images_decode_to_the_bytes_of_the_reference():
    folder = golden_folder() / "tiny_voc" / "JPEGImages"
    expected = golden_json("tiny_voc.json")["jpeg_decoding"]
    names = sorted(expected)
    images = run([tensors.decode_image(tf.constant((folder / n).read_bytes())) for n in names])
    for name, image in zip(names, images):
        assert hashlib.sha256(image.tobytes()).hexdigest() == expected[name]["decoded_sha256"]


@pytest.mark.parametrize("case", ["plain", "resized"])
def test_records_of_the_reference_are_read_as_it_reads_them(case):
    resize = (97, 129, 16) if case == "resized" else (None, None, None)
    config = data_config(
        golden_folder() / "tiny_voc" / "tfrecord",
        eval_crop_size=(161, 161),
        min_resize_value=resize[0],
        max_resize_value=resize[1],
        resize_factor=resize[2],
    )
    dataset = Dataset.open(config).eval_batches(split="val", batch_size=1, pad_color=PLAIN_MEAN)
    samples = [
        sample
        for sample in golden_json("tiny_voc.json")["one_shot_iterator"]
        if sample["case"] == case
    ]
    batch = tf.data.make_one_shot_iterator(dataset).get_next()
    with tf.Session() as session:
        for expected in samples:
            actual = session.run(batch)
            assert actual["name"][0].decode() == expected["image_name"]
            image, label = actual["image"][0], actual["label"][0]
            assert image.mean() == pytest.approx(expected["image_mean"], abs=1e-3)
            np.testing.assert_allclose(image[0, 0], expected["image_corner"], atol=1e-3)
            np.testing.assert_allclose(image[80, 80], expected["image_centre"], atol=1e-3)
            digest = hashlib.sha256(label.astype(np.uint8).tobytes()).hexdigest()
            assert digest == expected["label_sha256"]
            size = [actual["height"][0], actual["width"][0]]
            assert size == expected["keys"]["original_image"][1][1:3]
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(batch)
