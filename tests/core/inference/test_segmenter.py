"""Photos of any size in, labels of the same size out."""

import glob
import shutil

import numpy as np
import pytest

import common
from core.inference import resize, segmenter, steps, trained_networks
from core.inference.predictor import Member, Predictor
from core.inference.windows import Windows
from core.task import MULTICLASS
from options.config import Config
from options.data import InputOptions
from tests.small_networks import SMALL, config_of, save_checkpoint
from utils import image_ops
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

NAMES = ["sky", "road", "car"]
CROP = (49, 65)
RUN = {"class_names": NAMES, "colors": [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "num_classes": 3}


def _folder(tmp_path_factory, run=RUN, **data):
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder, 3)
    data = InputOptions(eval_crop_size=CROP, **data)
    common.save_options(str(folder), {"model": SMALL, "input": data, "run": run})
    return str(folder)


def _given(**values):
    return Config.create(segmenter.RECORDS, values)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return _folder(tmp_path_factory)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A checkpoint without options, as published ones are."""
    return save_checkpoint(tmp_path_factory.mktemp("bare"), 3)


def _image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [height, width, 3]).astype(np.uint8)


def _predicted(prefix, image, crop_size=CROP, **settings):
    member = Member(prefix, SMALL)
    with Predictor([member], num_classes=3, crop_size=crop_size, **settings) as predictor:
        return predictor.probabilities(image)


def test_a_photo_that_fits_is_padded_to_the_saved_crop(run):
    image = _image(40, 65)
    with segmenter.load(run) as network:
        assert network.classes.names == tuple(NAMES)
        result = network.segment(image, probabilities=True)
        labels = network.segment(image).labels
    np.testing.assert_array_equal(result.probabilities, _predicted(run + "/model.ckpt-1", image))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, result.labels)
    np.testing.assert_array_equal(labels, result.probabilities.argmax(2))


class ChannelPredictor:
    """Stands for a network whose classes are the channels; remembers how it was made."""

    made = None

    def __init__(self, members, *, num_classes, crop_size, windows, **settings):
        assert num_classes == 3
        self.made.append((crop_size, windows))
        self.members = members

    def probabilities(self, image):
        self.made.append(image.shape[:2])
        return np.asarray(image, np.float32) / np.maximum(1, image.sum(2, keepdims=True))

    def labels(self, image):
        return self.probabilities(image).argmax(2)

    def close(self):
        pass


@pytest.fixture
def made(monkeypatch):
    """What is made of networks, and the sizes of the images that they see."""
    monkeypatch.setattr(trained_networks, "Predictor", ChannelPredictor)
    monkeypatch.setattr(ChannelPredictor, "made", [])
    return ChannelPredictor.made


def _shares(image):
    return np.asarray(image, np.float32) / np.maximum(1, np.sum(image, 2, keepdims=True))


def test_a_larger_photo_is_shrunk_and_its_probabilities_come_back_to_its_size(run, made):
    image = _image(120, 130)
    shrunk = image_ops.shrink(image, (49, 53))
    expected = resize.probabilities_at(_shares(shrunk), (120, 130))
    with segmenter.load(run) as network:
        result = network.segment(image, probabilities=True)
        labels = network.segment(image).labels
    assert made == [(CROP, None), (49, 53), (49, 53)]
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, result.probabilities.argmax(2))


def test_the_crop_is_turned_for_a_portrait_photo(run, made):
    with segmenter.load(run) as network:
        assert network.segment(_image(130, 98)).labels.shape == (130, 98)
        assert network.segment(_image(40, 20)).labels.shape == (40, 20)
    assert made == [(CROP, None), (CROP[::-1], None), (65, 49), (40, 20)]


def test_images_keep_their_size_without_a_crop_and_in_windows(bare, made, tmp_path):
    image = _image(60, 100)
    windows = Windows((49, 49))
    with segmenter.load(bare, config=config_of(SMALL, window_size=(49, 49))) as network:
        np.testing.assert_array_equal(network.segment(image).labels, _shares(image).argmax(2))
        assert network.description["windows"]["size"] == (49, 49)
    assert made == [(None, windows), (60, 100)]
    for path in glob.glob(bare + "*"):
        shutil.copy(path, str(tmp_path))
    common.save_options(str(tmp_path), {"model": SMALL, "input": {"eval_crop_size": ["auto"]}})
    with segmenter.load(str(tmp_path)) as network:
        network.segment(image)
    assert made[2:] == [(None, None), (60, 100)]


def test_windows_have_the_size_of_the_training_crop_and_go_without_another(run, made):
    with segmenter.load(run, config=_given(max_pixels=100)) as network:
        assert network.description["windows"]["size"] == (513, 513)
    config = _given(window_size=(49, 49), eval_crop_size=(33, 33))
    with pytest.raises(OptionError, match="--window_size, --max_pixels .*--eval_crop_size=auto"):
        segmenter.load(run, config=config)


def test_a_range_of_training_is_kept_in_prediction(tmp_path_factory, made):
    folder = _folder(tmp_path_factory, min_resize_value=33, resize_factor=16)
    image = _image(20, 30)
    with segmenter.load(folder) as network:
        labels = network.segment(image).labels
    assert made == [(CROP, None), (33, 49)]
    resized = resize.RangeResizer(min_size=33, factor=16).resize(image)
    np.testing.assert_array_equal(labels, resize.labels_at(_shares(resized), (20, 30), MULTICLASS))


def test_several_checkpoints_are_members_of_one_predictor(bare, run, made):
    with segmenter.load([run, bare], config=_given(**SMALL.to_dict())) as network:
        assert network.description["checkpoints"] == [run + "/model.ckpt-1", bare]
    assert len(made) == 1


def test_averages_of_the_weights_are_taken_on_request(tmp_path, bare):
    averaged, image = save_checkpoint(tmp_path, 3, factor=-1.0, averages=True), _image(40, 65)
    settings = {"config": config_of(SMALL, eval_crop_size=CROP)}
    with segmenter.load(averaged, use_ema=True, **settings) as network:
        found = network.segment(image, probabilities=True).probabilities
        assert network.description["use_ema"] is True
    np.testing.assert_array_equal(found, _predicted(bare, image))
    assert (found != _predicted(averaged, image)).all()
    with pytest.raises(UserError, match="leave out --use_ema"):
        segmenter.load(bare, use_ema=True, **settings)


def test_checkpoints_of_other_classes_or_sizes_are_not_averaged(tmp_path_factory, run):
    other = _folder(tmp_path_factory, run={**RUN, "class_names": ["sky", "car", "road"]})
    with pytest.raises(UserError, match="class_names"):
        segmenter.load([run, other])
    other = _folder(tmp_path_factory, min_resize_value=33)
    with pytest.raises(UserError, match="min_resize_value.*None.*33"):
        segmenter.load([run, other])


def test_options_that_were_saved_need_not_be_repeated_and_may_not_be_contradicted(run):
    options = {"config": _given(output_stride=8)}
    with pytest.raises(OptionError, match=r"--output_stride=8 \(saved: 16\)"):
        segmenter.load(run, **options)
    with segmenter.load(run, change_network=True, **options) as network:
        assert network.description["network"]["output_stride"] == 8


def test_another_network_or_none_is_a_sentence(bare, tmp_path):
    with pytest.raises(UserError, match="does not fit the network"):
        segmenter.load(bare, config=_given(model_variant="resnet_v1_18"))
    with pytest.raises(UserError, match="no checkpoint at "):
        segmenter.load(str(tmp_path / "model.ckpt-7"))
    with pytest.raises(UserError, match="holds no checkpoint"):
        segmenter.load(str(tmp_path))


def test_steps_change_the_labels_at_the_size_of_the_photo(run):
    image = _image(60, 90)
    with segmenter.load(run) as network:
        plain = network.segment(image, probabilities=True)
        clean = steps.create(["min_object=200", "fill_holes"], network.classes)
    with segmenter.load(run, postprocess=["min_object=200,fill_holes"]) as network:
        result = network.segment(image, probabilities=True)
        assert network.description["postprocess"] == ["min_object=200", "fill_holes"]
    assert np.any(clean(plain.labels) != plain.labels)
    np.testing.assert_array_equal(result.labels, clean(plain.labels))
    np.testing.assert_array_equal(result.probabilities, plain.probabilities)


def test_a_step_for_a_class_that_is_not_there_is_refused(run):
    with pytest.raises(OptionError, match="--postprocess=fill_holes@moon"):
        segmenter.load(run, postprocess=["fill_holes@moon"])


@pytest.mark.parametrize(("task", "channels"), [("binary", 1), ("multilabel", 3)])
def test_labels_are_those_of_the_saved_task(tmp_path_factory, task, channels):
    folder = tmp_path_factory.mktemp(task)
    save_checkpoint(folder, channels, factor=10.0)
    names = NAMES[: max(2, channels)]
    run = {"class_names": names, "num_classes": len(names), "task": task}
    sections = {"model": SMALL, "input": InputOptions(eval_crop_size=CROP), "run": run}
    common.save_options(str(folder), sections)
    image = _image(60, 90)
    with segmenter.load(str(folder)) as network:
        scores = network.segment(image, probabilities=True).probabilities
    assert scores.shape == (60, 90, channels)
    threshold = float(np.median(scores))
    with segmenter.load(str(folder), config=_given(threshold=threshold)) as network:
        result = network.segment(image, probabilities=True)
        labels = network.segment(image).labels
        assert network.classes.task == task
    assert labels.dtype == np.uint8
    assert 0 < labels.mean() < 1
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_array_equal(labels, (scores > threshold).reshape(labels.shape))
