"""Images of the batch in TensorBoard, for each task."""

import numpy as np
import pytest

from core.training.hooks.log_images import LogImages
from tests.small_losses import IGNORE, classes_of, random_logits
from tests.small_steps import step_of
from utils.compat import tf

MULTICLASS, BINARY, MULTILABEL = map(classes_of, ("multiclass", "binary", "multilabel"))


def images_of(folder, classes, labels, logits):
    """Returns tag -> uint8 [h, w, 3] of one batch of one image."""
    with tf.Graph().as_default():
        step = step_of(
            tf.no_op(),
            images=tf.fill([1, *labels.shape[1:3], 3], 7.0),
            labels=tf.constant(labels),
            logits=tf.constant(logits),
        )
        with tf.train.SingularMonitoredSession(
            hooks=[LogImages(str(folder), step, 60, classes)]
        ) as session:
            session.run(step.train_op)
    (path,) = folder.glob("*.images")
    with tf.Graph().as_default(), tf.Session() as session:
        return {
            value.tag.split("/")[1]: session.run(
                tf.image.decode_png(value.image.encoded_image_string)
            )
            for event in tf.train.summary_iterator(str(path))
            for value in event.summary.value
        }


@pytest.mark.parametrize("classes", [MULTICLASS, BINARY], ids=["multiclass", "binary"])
def test_exclusive_classes_have_their_colours(tmp_path, classes):
    labels = np.array([[[[0], [1], [IGNORE]]]], np.int32)
    logits = random_logits(classes, size=(1, 1, 3))
    logits[0, 0, :, -1] = [9.0, -9.0, 9.0]
    images = images_of(tmp_path, classes, labels, logits)
    assert images["image"].tolist() == [[[7, 7, 7]] * 3]
    assert images["label"].tolist() == [[*map(list, classes.colors[:2]), [255, 255, 255]]]
    assert images["prediction"][0, 0].tolist() == list(classes.colors[-1])
    assert images["prediction"][0, 1].tolist() != list(classes.colors[-1])


def test_several_labels_of_a_pixel_are_mixed(tmp_path):
    labels = np.array([[[[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 0, IGNORE]]]], np.int32)
    logits = np.where(labels == 1, 5.0, -5.0).astype(np.float32)
    images = images_of(tmp_path, MULTILABEL, labels, logits)
    one, other = np.array(MULTILABEL.colors)[[1, 3]]
    mixed = ((one + other) / 2).astype(int).tolist()
    assert images["label"].tolist() == [[[0, 0, 0], mixed, [255, 255, 255]]]
    assert images["prediction"].tolist() == [[[0, 0, 0], mixed, one.tolist()]]
