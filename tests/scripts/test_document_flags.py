"""The page of all flags."""

import pytest

from scripts import document_flags

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def rows():
    lines = document_flags.page().splitlines()
    return {line.split("`")[1]: line for line in lines if line.startswith("| `--")}


def test_a_row_names_the_commands_if_only_some_of_its_record_take_the_flag(rows):
    assert "train_npu.py" in rows["--num_training_samples"]
    assert "eval.py" not in rows["--num_training_samples"]
    assert "Only of" not in rows["--max_rotation"]


def test_flags_of_the_reference_are_marked_where_a_counterpart_has_them(rows):
    marks = {name: row.rsplit("|", 2)[1] for name, row in rows.items()}
    assert "R" in marks["--train_batch_size"]
    assert "R" in marks["--vis_crop_size"]
    assert "R" not in marks["--architecture"]
