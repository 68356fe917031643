"""A run's folder belongs to one run."""

import pytest

from core import run_folder
from core.options import ModelOptions, TrainOptions
from datasets.options import DataOptions
from utils.errors import UserError


class _Info:
    name = "tiny"
    num_classes = 3
    class_names = ("a", "b", "c")
    colors = ((0, 0, 0), (1, 1, 1), (2, 2, 2))
    ignore_label = 255


def _prepare(folder, num_images=7, model=None, **train):
    sections = {
        "model": model or ModelOptions(),
        "train": TrainOptions(**train),
        "data": DataOptions(),
    }
    run = run_folder.describe_run(_Info, "train", num_images, "cpu")
    return run_folder.prepare(str(folder), sections, run)


def _add_checkpoint(folder, step=10):
    for ending in (".index", ".data-00000-of-00001"):
        (folder / f"model.ckpt-{step}{ending}").write_bytes(b"x")


def test_a_new_folder_starts_from_nothing_and_keeps_its_options(tmp_path):
    folder = tmp_path / "run"
    assert _prepare(folder) is None
    assert (folder / "options.json").exists()


def test_the_same_options_continue_from_the_newest_checkpoint(tmp_path):
    _prepare(tmp_path)
    _add_checkpoint(tmp_path)
    assert _prepare(tmp_path, log_steps=3, training_number_of_steps=99) == str(
        tmp_path / "model.ckpt-10"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_decay": 0.1}, "--weight_decay was 4e-05, now 0.1"),
        ({"model": ModelOptions(output_stride=8)}, "--output_stride was 16, now 8"),
        ({"num_images": 8}, "num_images of the data was 7, now 8"),
    ],
)
def test_other_options_are_refused_and_named(tmp_path, change, message):
    _prepare(tmp_path)
    _add_checkpoint(tmp_path)
    before = (tmp_path / "options.json").read_text()
    with pytest.raises(UserError, match=message):
        _prepare(tmp_path, **change)
    assert (tmp_path / "options.json").read_text() == before


def test_a_folder_without_checkpoints_may_be_started_anew(tmp_path):
    _prepare(tmp_path)
    assert _prepare(tmp_path, weight_decay=0.1) is None


def test_checkpoints_of_an_unknown_run_are_refused(tmp_path):
    _add_checkpoint(tmp_path)
    with pytest.raises(UserError, match="not known what run"):
        _prepare(tmp_path)
