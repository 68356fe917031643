"""A run's folder belongs to one run."""

import json
import os
import shutil

import pytest

from core.runs import folder as run_folder
from options import refused
from options.config import Config
from options.data import DATA_RECORDS
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS
from options.training import TRAINING_RECORDS
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

_CLASSES = ClassSet(("a", "b", "c"), name="tiny")


RECORDS = (*NETWORK_OPTIONS, *TRAINING_RECORDS, *DATA_RECORDS, DeviceOptions)


def _prepare(folder, num_images=7, fingerprint="abc", ranks=1, check=None, **values):
    config = Config.create(RECORDS, values)
    run = run_folder.describe_run(_CLASSES, "train", num_images, fingerprint, "cpu")
    run["images_per_step"] = ranks * config.train.images_per_step
    return run_folder.prepare(str(folder), config, run, check=check)


def _add_checkpoint(folder, step=10):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("weights", [100], initializer=tf.ones_initializer())
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(
            session, str(folder / "model.ckpt"), global_step=step, write_meta_graph=False
        )


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


def test_a_run_that_is_refused_writes_nothing(tmp_path):
    seen = []

    def refuse(resume_from):
        seen.append(resume_from)
        raise OptionError("No.")

    with pytest.raises(OptionError, match="No"):
        _prepare(tmp_path / "new", check=refuse)
    assert not (tmp_path / "new").exists()
    _prepare(tmp_path)
    _add_checkpoint(tmp_path)
    before = (tmp_path / "options.json").read_text()
    with pytest.raises(OptionError, match="No"):
        _prepare(tmp_path, check=refuse, training_number_of_steps=99)
    assert (tmp_path / "options.json").read_text() == before
    assert seen == [None, str(tmp_path / "model.ckpt-10")]


def test_a_run_and_its_data_may_be_moved(tmp_path, caplog):
    _prepare(tmp_path / "a", train_logdir="a", dataset_dir="records")
    _add_checkpoint(tmp_path / "a")
    os.rename(str(tmp_path / "a"), str(tmp_path / "b"))
    moved = {"train_logdir": "b/", "dataset_dir": "elsewhere", "tf_initial_checkpoint": "new"}
    assert _prepare(tmp_path / "b", **moved) == str(tmp_path / "b" / "model.ckpt-10")
    assert "--tf_initial_checkpoint=new is not read" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_decay": 0.1}, "--weight_decay was 4e-05, now 0.1"),
        ({"output_stride": 8}, "--output_stride was 16, now 8"),
        ({"num_images": 8}, "num_images of the data was 7, now 8"),
        ({"fingerprint": "abd"}, "fingerprint of the data was abc, now abd"),
    ],
)
def test_other_options_are_refused_and_named(tmp_path, change, message):
    _prepare(tmp_path)
    _add_checkpoint(tmp_path)
    before = (tmp_path / "options.json").read_text()
    with pytest.raises(UserError, match=message):
        _prepare(tmp_path, **change)
    assert (tmp_path / "options.json").read_text() == before


def test_a_run_of_version_1_0_2_is_continued(tmp_path):
    """Its options lie in other sections, and some of them exist no more."""
    shutil.copy("docs/results/camvid/options.json", str(tmp_path))
    _add_checkpoint(tmp_path)
    old = json.loads((tmp_path / "options.json").read_text())
    values = {
        name: value for part in ("model", "train", "data") for name, value in old[part].items()
    }
    facts = {
        name: old["run"][name]
        for name in ("num_classes", "class_names", "ignore_label", "num_images")
    }
    config = Config.create(RECORDS, refused.without(values))

    def prepare(config):
        run = {**facts, "fingerprint": "abc"}
        return run_folder.prepare(str(tmp_path), config, run, check=None)

    with pytest.raises(UserError, match="--decoder_filters was 128, now 64"):
        prepare(config.with_values({"decoder_filters": 64}, "flag"))
    assert prepare(config) == str(tmp_path / "model.ckpt-10")
    assert prepare(config) == str(tmp_path / "model.ckpt-10")
    assert "network" in json.loads((tmp_path / "options.json").read_text())


def test_a_step_may_be_divided_over_other_ranks_and_batches(tmp_path):
    _prepare(tmp_path, ranks=4, train_batch_size=2)
    _add_checkpoint(tmp_path)
    assert _prepare(tmp_path, ranks=2, train_batch_size=2, accumulate_batches=2)
    with pytest.raises(UserError, match="--train_batch_size was 2, now 4"):
        _prepare(tmp_path, ranks=1, train_batch_size=4)
    with pytest.raises(UserError, match="a step of all ranks had 8 images, now 4"):
        _prepare(tmp_path, ranks=1, train_batch_size=2, accumulate_batches=2)


def test_a_folder_without_checkpoints_may_be_started_anew(tmp_path):
    _prepare(tmp_path)
    assert _prepare(tmp_path, weight_decay=0.1) is None


def test_a_damaged_newest_checkpoint_is_quarantined_for_the_one_before(tmp_path):
    _prepare(tmp_path)
    for step in (10, 20, 30):
        _add_checkpoint(tmp_path, step)
    os.truncate(str(tmp_path / "model.ckpt-30.data-00000-of-00001"), 100)
    with open(str(tmp_path / "model.ckpt-20.data-00000-of-00001"), "r+b") as file:
        file.write(b"changed")
    assert _prepare(tmp_path) == str(tmp_path / "model.ckpt-10")
    assert _prepare(tmp_path) == str(tmp_path / "model.ckpt-10")
    assert (tmp_path / "damaged-model.ckpt-30.index").exists()
    os.truncate(str(tmp_path / "model.ckpt-10.index"), 0)
    with pytest.raises(UserError, match="no checkpoint in .* can be read .1 damaged.; move them"):
        _prepare(tmp_path)


def test_what_a_killed_process_left_is_removed(tmp_path):
    _prepare(tmp_path)
    _add_checkpoint(tmp_path, 10)
    _add_checkpoint(tmp_path, 20)
    os.remove(str(tmp_path / "model.ckpt-20.index"))
    (tmp_path / ".incomplete").mkdir()
    (tmp_path / ".incomplete" / "model.ckpt-30.index").write_bytes(b"x")
    assert _prepare(tmp_path) == str(tmp_path / "model.ckpt-10")
    assert sorted(os.listdir(str(tmp_path))) == [
        "checkpoint",
        "model.ckpt-10.data-00000-of-00001",
        "model.ckpt-10.index",
        "options.json",
    ]


def test_checkpoints_of_an_unknown_run_are_refused(tmp_path):
    _add_checkpoint(tmp_path)
    with pytest.raises(UserError, match="their run is unknown"):
        _prepare(tmp_path)
