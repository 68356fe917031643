"""Raw data are read as if they had been converted."""

import numpy as np
import pytest

from datasets import convert, raw_records
from datasets import info as dataset_info
from datasets.pipeline import input_fn
from datasets.records import fingerprint
from options.conversion import ConvertOptions
from options.data import DataOptions
from tests.small_data import make_voc
from utils.compat import tf
from utils.errors import OptionError, UserError


def command(values):
    given = {name: value for name, value in values.items() if name != "output_dir"}
    return " ".join(["pascal_voc", *(f"--{name}={value}" for name, value in given.items())])


def first_batch(**values):
    options = DataOptions(train_crop_size=(33, 33), **values)
    info = dataset_info.load(options)
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = input_fn.train_batches(
            options, info, split="train", batch_size=3, pad_color=(1.0, 2.0, 3.0)
        )
        iterator = tf.data.make_initializable_iterator(dataset)
        following = iterator.get_next()
        session.run(iterator.initializer)
        return session.run(following)


def test_batches_are_those_of_converted_data(tmp_path):
    values = make_voc(tmp_path, palette=True, train=3)
    convert.convert("pascal_voc", ConvertOptions(**values))
    expected = first_batch(dataset_dir=values["output_dir"])
    actual = first_batch(dataset_dir=command(values))
    for key in expected:
        np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)
    folder = raw_records.folder(DataOptions(dataset_dir=command(values)))
    assert fingerprint.of_split(folder, "train") == fingerprint.of_split(
        values["output_dir"], "train"
    )


@pytest.mark.parametrize(
    "text", ["a --b", "pascal_voc folders --splits=a", "pascal_voc --output_dir=x", "x --splits='"]
)
def test_what_is_no_format_with_its_flags_is_refused(text):
    with pytest.raises(OptionError, match="--dataset_dir="):
        raw_records.folder(DataOptions(dataset_dir=text))


def test_files_that_cannot_be_used_are_named(tmp_path):
    values = make_voc(tmp_path, train=2)
    (tmp_path / "Masks" / "train_1.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"train_1.png"):
        raw_records.folder(DataOptions(dataset_dir=command(values)))
