"""The page of all flags."""

from scripts import document_flags


def test_a_row_names_the_commands_that_take_a_flag_of_a_shared_record():
    (row,) = [line for line in document_flags.page().splitlines() if "`--max_rotation`" in line]
    assert "train_npu.py" in row or "Only of" not in row
    parts = document_flags.commands()
    takers = [name for name, taken in parts.items() if any("rank" in part.names for part in taken)]
    (row,) = [line for line in document_flags.page().splitlines() if "`--rank`" in line]
    assert all(name in row for name in takers)
    assert "predict.py" not in row


def test_flags_of_the_reference_are_marked_where_a_counterpart_has_them():
    rows = document_flags.page().splitlines()
    marks = {row.split("`")[1]: row.rsplit("|", 2)[1] for row in rows if row.startswith("| `--")}
    assert "R" in marks["--train_batch_size"]
    assert "R" in marks["--vis_crop_size"]
    assert "R" not in marks["--architecture"]
