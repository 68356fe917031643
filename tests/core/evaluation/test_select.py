"""Which checkpoints are evaluated, once and while a training writes them."""

import os

import pytest

import common
from core.evaluation import select
from utils.compat import tf
from utils.errors import UserError


def _save(folder, *steps):
    """Saves checkpoints that hold their step alone."""
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.train.get_or_create_global_step()
        saver = tf.train.Saver(max_to_keep=None)
        for number in steps:
            session.run(tf.assign(step, number))
            saver.save(session, str(folder / "model.ckpt"), number, write_meta_graph=False)


def _steps(prefixes):
    return [int(prefix.split("-")[-1]) for prefix in prefixes]


def test_a_checkpoint_is_named_by_word_or_step(tmp_path):
    _save(tmp_path, 5, 100, 20)
    folder = str(tmp_path)
    assert _steps(select.chosen(folder, "newest")) == [100]
    assert _steps(select.chosen(folder, "all")) == [5, 20, 100]
    assert _steps(select.chosen(folder, "20")) == [20]
    with pytest.raises(UserError, match=r"step 7.*model.ckpt-5, "):
        select.chosen(folder, "7")
    with pytest.raises(UserError, match="holds no best checkpoint"):
        select.chosen(folder, "best")


class _Training:
    """A folder that changes while its watcher sleeps, by a clock of its own."""

    def __init__(self, folder, happens):
        self.folder, self.happens, self.time = folder, list(happens), 0.0

    def clock(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        if self.happens:
            self.happens.pop(0)()

    def watch(self, **settings):
        found = select.new_checkpoints(
            str(self.folder), interval=10, clock=self.clock, sleep=self.sleep, **settings
        )
        return _steps(found)


def test_the_newest_is_taken_each_time_until_the_training_has_ended(tmp_path):
    def half_written():
        _save(tmp_path, 60)
        os.remove(str(tmp_path / "model.ckpt-60.index"))

    common.save_options(str(tmp_path), {"train": {"training_number_of_steps": 90}})
    training = _Training(
        tmp_path,
        [
            lambda: None,
            lambda: _save(tmp_path, 10),
            lambda: None,
            lambda: _save(tmp_path, 20, 30),
            half_written,
            lambda: _save(tmp_path, 90),
            pytest.fail,
        ],
    )
    assert training.watch() == [10, 30, 90]


def test_a_folder_is_waited_for_and_watching_ends_without_news(tmp_path):
    folder = tmp_path / "run"
    training = _Training(folder, [lambda: folder.mkdir(), lambda: _save(folder, 3)])
    assert training.watch(timeout=35) == [3]
    assert training.time == 20 + 35


def test_a_checkpoint_that_was_removed_is_gone(tmp_path):
    _save(tmp_path, 3)
    prefix = str(tmp_path / "model.ckpt-3")
    assert not select.is_gone(prefix)
    os.remove(prefix + ".index")
    assert select.is_gone(prefix)
