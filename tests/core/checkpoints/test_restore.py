"""Checkpoints: what is found, matched, restored and refused."""

import json
import os

import numpy as np
import pytest

from core.checkpoints import files, restore
from utils.compat import tf
from utils.errors import UserError


def _variable(name, shape, value=0.0):
    return tf.get_variable(name, shape, initializer=tf.constant_initializer(value))


def _save(folder, shapes, step=None, value=1.0, name=restore.PREFIX):
    """Saves variables of the given shapes, all filled with one value; returns the prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        for variable_name, shape in shapes.items():
            _variable(variable_name, shape, value)
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(
            session, os.path.join(str(folder), name), global_step=step, write_meta_graph=False
        )


def _restored(path, shapes, **arguments):
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [_variable(name, shape) for name, shape in shapes.items()]
        operation = restore.restore_op(path, variables, **arguments)
        session.run(tf.global_variables_initializer())
        with restore.reading(path):
            session.run(operation)
        return dict(zip(shapes, session.run(variables)))


def test_restore_fills_every_variable(tmp_path):
    shapes = {"net/weights": [3, 2], "net/biases": [2]}
    values = _restored(_save(tmp_path, shapes), shapes)
    assert np.all(values["net/weights"] == 1.0)
    assert np.all(values["net/biases"] == 1.0)


def test_the_older_checkpoint_format_is_read_too(tmp_path):
    path = str(tmp_path / "old.ckpt")
    with tf.Graph().as_default(), tf.Session() as session:
        _variable("net/weights", [3, 2], 1.0)
        session.run(tf.global_variables_initializer())
        tf.train.Saver(write_version=tf.train.SaverDef.V1).save(
            session, path, write_meta_graph=False
        )
    assert os.path.isfile(path)
    assert np.all(_restored(path, {"net/weights": [3, 2]})["net/weights"] == 1.0)


def test_a_missing_variable_is_an_error_that_names_it(tmp_path):
    path = _save(tmp_path, {"net/weights": [3, 2]})
    with pytest.raises(UserError, match="net/biases: not in the checkpoint"):
        _restored(path, {"net/weights": [3, 2], "net/biases": [2]})


def test_another_shape_is_an_error_that_shows_both(tmp_path):
    path = _save(tmp_path, {"net/weights": [3, 2]})
    with pytest.raises(UserError, match="3x2 in the checkpoint, 3x4 in the network"):
        _restored(path, {"net/weights": [3, 4]})


def test_excluded_variables_keep_their_values(tmp_path):
    path = _save(tmp_path, {"net/weights": [3]})
    values = _restored(path, {"net/weights": [3], "logits/weights": [2]}, exclude=["logits/"])
    assert np.all(values["net/weights"] == 1.0)
    assert np.all(values["logits/weights"] == 0.0)


def test_half_precision_is_widened(tmp_path):
    prefix = str(tmp_path / "half")
    with tf.Graph().as_default(), tf.Session() as session:
        stored = np.array([0.5, 1.25, -3.0], np.float16)
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=["net/weights"],
                shape_and_slices=[""],
                tensors=[tf.constant(stored)],
            )
        )
    values = _restored(prefix, {"net/weights": [3]})["net/weights"]
    assert values.dtype == np.float32
    assert np.array_equal(values, stored.astype(np.float32))


def test_a_truncated_checkpoint_is_a_sentence(tmp_path):
    path = _save(tmp_path, {"net/weights": [300]})
    data = path + ".data-00000-of-00001"
    os.truncate(data, os.path.getsize(data) // 2)
    with pytest.raises(UserError, match="damaged or incomplete"):
        _restored(path, {"net/weights": [300]})


@pytest.mark.parametrize("missing", ["nothing/model.ckpt-5", "."])
def test_a_path_without_checkpoint_is_a_sentence(tmp_path, missing):
    with pytest.raises(UserError, match="no checkpoint at|is a folder"):
        restore.shapes(str(tmp_path / missing))


def test_the_newest_is_the_one_with_the_highest_complete_step(tmp_path):
    for step in (5, 100, 20):
        _save(tmp_path, {"x": [1]}, step)
    (tmp_path / "model.ckpt-300.index").write_bytes(b"")  # its data is missing
    assert restore.newest(str(tmp_path)) == str(tmp_path / "model.ckpt-100")
    assert [os.path.basename(path) for path in restore.find_all(str(tmp_path))] == [
        "model.ckpt-5",
        "model.ckpt-20",
        "model.ckpt-100",
    ]


def test_an_empty_folder_has_no_newest(tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        restore.newest(str(tmp_path))
    with pytest.raises(UserError, match="no folder"):
        restore.newest(str(tmp_path / "absent"))


def test_a_checkpoint_whose_shard_is_missing_is_none(tmp_path):
    path = _save(tmp_path, {"x": [1]}, 5)
    os.rename(path + ".data-00000-of-00001", path + ".data-00000-of-00002")
    assert restore.find_all(str(tmp_path)) == []


def test_the_best_is_the_one_that_best_json_names(tmp_path):
    folder = tmp_path / restore.BEST_FOLDER
    with pytest.raises(UserError, match="no best checkpoint .* --eval_interval_steps"):
        restore.best(str(tmp_path))
    path = _save(folder, {"x": [1]}, 7)
    (folder / "best.json").write_text(json.dumps({"checkpoint": "model.ckpt-7", "step": 7}))
    assert restore.best(str(tmp_path)) == path
    assert restore.run_of(path) == str(tmp_path)
    assert restore.run_of(str(tmp_path / "model.ckpt-7")) == str(tmp_path)
    os.remove(path + ".index")
    with pytest.raises(UserError, match=r"model.ckpt-7"):
        restore.best(str(tmp_path))
    (folder / "best.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        restore.best(str(tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "changed", "no index"])
def test_a_damaged_checkpoint_is_found_by_reading_it(tmp_path, damage):
    path = _save(tmp_path, {"x": [300], "y": [300]})
    restore.check_readable(path)
    data = path + ".data-00000-of-00001"
    if damage == "truncated":
        os.truncate(data, os.path.getsize(data) - 1)
    elif damage == "changed":
        with open(data, "r+b") as file:
            file.seek(1000)
            file.write(b"x")
    else:
        os.truncate(path + ".index", 0)
    with pytest.raises(UserError, match="damaged or incomplete"):
        restore.check_readable(path)


HEAD = ("aspp0/", "logits/")


def _match_initial(path, shapes, initialize_head=True):
    with tf.Graph().as_default():
        variables = [_variable(name, shape) for name, shape in shapes.items()]
        return restore.match_initial(path, variables, HEAD, HEAD[1:], initialize_head)


def test_an_imagenet_checkpoint_leaves_the_head_new(tmp_path):
    path = _save(tmp_path, {"net/weights": [3], "net/classifier/weights": [1000]})
    matched = _match_initial(path, {"net/weights": [3], "logits/weights": [2]})
    assert [variable.op.name for variable in matched.loaded] == ["net/weights"]
    assert matched.new == ("logits/weights",)
    assert matched.skipped == ("net/classifier/weights",)
    assert "loaded       1 variables" in matched.report()
    assert "skipped      1 tensors of the checkpoint (net 1)" in matched.report()


def test_a_logits_layer_of_other_classes_stays_new_and_is_reported(tmp_path):
    stored = {"net/weights": [3], "aspp0/weights": [3, 8], "logits/weights": [8, 21]}
    path = _save(tmp_path, stored)
    own = {"net/weights": [3], "aspp0/weights": [3, 8], "logits/weights": [8, 11]}
    matched = _match_initial(path, own)
    assert [variable.op.name for variable in matched.loaded] == ["net/weights", "aspp0/weights"]
    assert matched.new == ("logits/weights",)
    assert matched.skipped == ("logits/weights",)
    row = "other number of classes, so new: logits/weights: 8x21 in the checkpoint, 8x11 in the net"
    assert row in matched.report()


def test_a_head_of_another_form_is_an_error_with_the_remedy(tmp_path):
    path = _save(tmp_path, {"net/weights": [3], "aspp0/weights": [3, 8], "logits/weights": [8, 21]})
    wider = {"net/weights": [3], "aspp0/weights": [3, 16], "logits/weights": [16, 11]}
    with pytest.raises(UserError, match="(?s)logits/weights: 8x21.*--initialize_last_layer=false"):
        _match_initial(path, wider)
    assert _match_initial(path, wider, False).new == ("aspp0/weights", "logits/weights")


def test_a_checkpoint_of_another_backbone_is_an_error(tmp_path):
    path = _save(tmp_path, {"other/weights": [3]})
    with pytest.raises(UserError, match="--model_variant"):
        _match_initial(path, {"net/weights": [3], "logits/weights": [2]})


def test_a_compact_copy_drops_slots_halves_kernels_and_restores(tmp_path):
    kernel, vector = "net/weights", "net/BatchNorm/moving_variance"
    shapes = {kernel: [4, 3], vector: [3], kernel + "/Momentum": [4, 3]}
    source = _save(tmp_path, shapes, value=0.1)
    target = str(tmp_path / "compact" / "model.ckpt-7")
    size = files.write_compact(source, target)
    assert set(restore.shapes(target)) == {kernel, vector}
    assert size == sum(file.stat().st_size for file in (tmp_path / "compact").iterdir())
    values = _restored(target, {kernel: [4, 3], vector: [3]})
    np.testing.assert_allclose(values[kernel], 0.1, rtol=1e-3)
    np.testing.assert_array_equal(values[vector], np.float32(0.1))
    assert not np.array_equal(values[kernel][0], np.float32([0.1] * 3))


def test_a_kernel_beyond_half_precision_is_refused(tmp_path):
    source = _save(tmp_path, {"net/weights": [2, 2]}, value=1e6)
    with pytest.raises(UserError, match="beyond half precision"):
        files.write_compact(source, str(tmp_path / "compact" / "model.ckpt"))


def test_a_checkpoint_tells_how_many_outputs_its_classifier_has(tmp_path):
    path = _save(tmp_path, {"head/logits/weights": [1, 1, 8, 7], "other/biases": [3]})
    assert restore.num_outputs(path, "head/logits") == 7
    assert restore.num_outputs(path, "other") == 3
    assert restore.num_outputs(path, "logits/semantic") is None


@pytest.mark.parametrize("folder", ["lr=[0.1,0.01]", "what?", "all*"])
def test_a_folder_whose_name_looks_like_a_pattern_is_read(tmp_path, folder):
    (tmp_path / folder).mkdir()
    path = _save(tmp_path / folder, {"weights": [2]}, step=3, value=5.0)
    assert restore.find_all(str(tmp_path / folder)) == [path]
    assert _restored(path, {"weights": [2]})["weights"].tolist() == [5.0, 5.0]


def test_a_checkpoint_whose_name_looks_like_a_pattern_is_refused(tmp_path):
    path = _save(tmp_path, {"weights": [2]}, name="a[1]")
    with pytest.raises(UserError, match=r"a\[1\] has a name that TensorFlow takes for a pattern"):
        restore.shapes(path)


@pytest.mark.parametrize("part", [".index", ".data-00000-of-00001"])
def test_a_file_of_a_checkpoint_is_not_its_prefix(tmp_path, part):
    path = _save(tmp_path, {"weights": [2]})
    with pytest.raises(UserError, match=f"is a file of the checkpoint {path}; pass the latter"):
        restore.shapes(path + part)


@pytest.mark.parametrize(
    ("begin", "kind"), [(b"\x89HDF\r\n", "HDF5"), (b"PK\x03\x04", "zip"), (b"\x80\x02}", "pickle")]
)
def test_files_of_other_frameworks_are_called_what_they_are(tmp_path, begin, kind):
    (tmp_path / "net").write_bytes(begin + bytes(100))
    with pytest.raises(UserError, match=f"net is an? {kind}.* convert_weights"):
        restore.shapes(str(tmp_path / "net"))
