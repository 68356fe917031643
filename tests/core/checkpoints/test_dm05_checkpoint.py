"""A released checkpoint (MobileNetV2, depth 0.5, PASCAL VOC) gives the reference's predictions."""

import json

import numpy as np
import pytest
from PIL import Image

from core import layers, network
from core.checkpoints import foreign, named, restore
from core.inference import tta
from options.network import NetworkSpec
from options.training import TrainOptions
from tests.golden import compare
from tests.resources import data_folder, pretrained
from utils.compat import tf

CLASSES = 21
MANY_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
# Setting -> output stride, crop size, scales, whether mirrored images are added.
SETTINGS = {
    "dm05_os16_513": (16, 513, (1.0,), False),
    "dm05_os8_513": (8, 513, (1.0,), False),
    "dm05_os8_257": (8, 257, (1.0,), False),
    "dm05_os16_513_flip": (16, 513, (1.0,), True),
    "dm05_os16_513_msflip": (16, 513, MANY_SCALES, True),
    "dm05_os8_513_msflip": (8, 513, MANY_SCALES, True),
}
ONE_SCALE = ["dm05_os16_513", "dm05_os8_513", "dm05_os8_257"]
AVERAGED = ["dm05_os16_513_flip", "dm05_os16_513_msflip", "dm05_os8_513_msflip"]
CROPS = ["0", "1", "8", "20", "23", "60", "114", "120"]
# Where the tensors of `tensors_dm05` stand in our graph.
TENSORS = {
    "backbone": "MobilenetV2/expanded_conv_16/output:0",
    "image_pooling": "image_pooling/Relu:0",
    "aspp0": "aspp0/Relu:0",
    "concat_projection": "concat_projection/Relu:0",
}


def options_at(output_stride):
    return NetworkSpec.of(
        model_variant="mobilenet_v2", depth_multiplier=0.5, output_stride=output_stride
    )


def test_all_variables_of_the_checkpoint_match_by_name_and_shape():
    network.build(tf.zeros([1, 257, 257, 3]), options_at(8), CLASSES, crop_size=(257, 257))
    matched = restore.match(pretrained("deeplabv3_mnv2_dm05_pascal"), network.variables())
    matched.raise_if_unexpected("")
    assert len(matched.loaded) == 272
    assert matched.skipped == ("global_step",)


def test_all_variables_of_the_imagenet_checkpoint_but_its_last_layer_match():
    network.build(tf.zeros([1, 97, 97, 3]), NetworkSpec.of(), CLASSES, crop_size=(97, 97))
    matched = restore.match(
        pretrained("mobilenet_v2_1.0_224_imagenet"),
        [variable for variable in network.variables() if "MobilenetV2/" in variable.name],
    )
    matched.raise_if_unexpected("")
    assert len(matched.loaded) == 255
    skipped = [name for name in matched.skipped if name != "global_step"]
    assert skipped
    assert all(name.startswith("MobilenetV2/Conv_1/") for name in skipped)


def test_backbone_and_head_give_the_tensors_of_the_reference():
    images = tf.placeholder(tf.float32, [1, 513, 513, 3])
    logits = network.build(images, options_at(16), CLASSES, crop_size=(513, 513)).logits
    graph = tf.get_default_graph()
    fetches = {name: graph.get_tensor_by_name(tensor) for name, tensor in TENSORS.items()}
    with restored_session() as session:
        for crop in ("0", "1"):
            image = read_image(data_folder("voc") / "crops513" / f"{crop}_image.png")
            actual = session.run(dict(fetches, logits=logits), {images: image[np.newaxis]})
            tensors = data_folder("golden_deeplab_dm05") / "tensors_dm05"
            expected = np.load(tensors / f"{crop}_os16.npz")
            for name in expected.files:
                np.testing.assert_allclose(actual[name][0], expected[name], atol=5e-4, err_msg=name)


def test_logits_at_output_stride_8_equal_the_reference():
    image = read_image(data_folder("voc") / "crops513" / "0_image.png")
    expected = np.load(data_folder("golden_deeplab_dm05") / "tensors_dm05" / "0_os8.npz")
    images = tf.constant(image[np.newaxis])
    logits = network.build(images, options_at(8), CLASSES, crop_size=(513, 513)).logits
    with restored_session() as session:
        actual = session.run(logits)
    np.testing.assert_allclose(actual[0], expected["logits"], atol=5e-4)


def test_labels_of_two_photos_equal_the_reference():
    assert shares_equal("dm05_os16_513", crop_files(["0", "1"])).min() >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("setting", ONE_SCALE)
def test_labels_of_all_crops_equal_the_reference(setting):
    assert shares_equal(setting, crop_files(CROPS)).min() >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("setting", ONE_SCALE)
def test_labels_of_photos_of_any_size_equal_the_reference(setting):
    photos = data_folder("voc") / "VOC2012" / "JPEGImages"
    files = {f"voc_2011/{path.stem}": path for path in sorted(photos.glob("2011_*.jpg"))}
    assert len(files) == 3
    assert shares_equal(setting, files).min() >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("setting", AVERAGED)
def test_confusion_of_averaged_predictions_equals_the_reference(setting):
    metrics = json.loads((data_folder("golden_deeplab_dm05") / "metrics.json").read_text())
    expected = np.array(metrics[f"{setting}/voc_crops513"]["confusion_rows_gt"])
    confusion = np.zeros([CLASSES, CLASSES], np.int64)
    predictions = predicted_labels(setting, crop_files(CROPS))
    for crop, prediction in zip(CROPS, predictions):
        truth = read_labels(data_folder("voc") / "crops513" / f"{crop}_label.png")
        counted = truth != 255
        np.add.at(confusion, (truth[counted], prediction[counted]), 1)
    moved = np.abs(confusion - expected).sum() / 2
    assert moved <= 0.001 * expected.sum()


def crop_files(names):
    folder = data_folder("voc") / "crops513"
    return {f"voc_crops513/{name}": folder / f"{name}_image.png" for name in names}


def shares_equal(setting, files):
    """Returns the share of pixels of each image whose label equals the reference's."""
    folder = data_folder("golden_deeplab_dm05") / "labels" / setting
    return np.array(
        [
            np.mean(prediction == read_labels(folder / f"{name}.png"))
            for name, prediction in zip(files, predicted_labels(setting, files))
        ]
    )


def predicted_labels(setting, files):
    """Returns the predicted labels of each image file, at the image's size."""
    output_stride, crop, scales, flip = SETTINGS[setting]
    images = tf.placeholder(tf.float32, [1, crop, crop, 3])
    labels = tta.predict(
        images, options_at(output_stride), CLASSES, scales=scales, flip=flip, crop_size=(crop, crop)
    ).labels
    predictions = []
    with restored_session() as session:
        for path in files.values():
            with Image.open(path) as image:
                size = image.size
            shrunk = read_image(path, longest_side=crop)
            height, width = shrunk.shape[:2]
            padded = np.full([1, crop, crop, 3], 127.5, np.float32)
            padded[0, :height, :width] = shrunk
            valid = session.run(labels, {images: padded})[0, :height, :width].astype(np.uint8)
            resized = Image.fromarray(valid).resize(size, Image.NEAREST)
            predictions.append(np.asarray(resized))
    return predictions


def restored_session():
    session = tf.Session()
    path = pretrained("deeplabv3_mnv2_dm05_pascal")
    session.run(restore.restore_op(path, network.variables()))
    return session


def read_image(path, longest_side=None):
    """Returns a photo as float32 [h, w, 3], 0..255, shrunk if a side is longer."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    scale = (longest_side or max(image.size)) / max(image.size)
    if scale < 1:
        size = tuple(round(side * scale) for side in image.size)
        image = image.resize(size, Image.BILINEAR)
    return np.asarray(image, np.float32)


def read_labels(path):
    with Image.open(path) as file:
        return np.asarray(file)


@pytest.mark.once
def test_the_shipped_mobilenet_gives_the_features_of_its_float32_weights():
    spec = NetworkSpec.of()
    options = TrainOptions(init="imagenet")
    path = named.initial_weights(options, spec.options.model_variant)
    assert path.endswith("weights/mobilenet_v2_imagenet")
    photo = np.asarray(Image.open(str(data_folder("voc") / "crops513" / "20_image.png")))
    record = network.backbone(spec.options)
    images = record.normalize(tf.constant(photo[None, ::2, ::2, :3], tf.float32))
    features = record.build(images, spec.options, layers.INFERENCE).output
    variables, found = network.variables(), []
    with tf.Session() as session:
        for prefix in (pretrained("mobilenet_v2_1.0_224_imagenet"), path):
            session.run(tf.global_variables_initializer())
            matched = foreign.match_initial(prefix, variables, spec, True, False)
            assert len(matched.loaded) == len(variables) == 255
            restore.loader(matched)(session)
            found.append(session.run([features, *variables]))
    (expected, *weights), (actual, *shipped) = found
    for value, exact in zip(shipped, weights):
        rounded = exact.astype(np.float16) if exact.ndim > 1 else exact
        np.testing.assert_array_equal(value, rounded.astype(np.float32))
    error = np.sqrt(np.square(actual - expected).mean() / np.square(expected).mean())
    assert error <= 5e-3
    assert compare.difference_to_range(actual, expected) <= 1e-2
