import json
import os

import pytest

from datasets import class_table
from datasets.files import mask_files
from utils.classes import ClassSet
from utils.errors import OptionError, UserError


def write(path, text):
    path.write_text(text)
    return str(path)


def test_json_tables_hold_names_colours_and_the_ignore_label(tmp_path):
    table = class_table.load(
        write(
            tmp_path / "roads.json",
            '{"ignore_label": 2, "ignore_color": [9, 9, 9], "classes": '
            '[{"name": "sky", "color": [1, 2, 3]}, {"name": "road", "color": [4, 5, 6]}]}',
        )
    )
    classes = ClassSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)), 2, ignore_color=(9, 9, 9))
    assert table == (classes, True, True)


def test_csv_tables_are_sorted_by_id(tmp_path):
    text = "id,name,red,green,blue\n1, road,4,5,6\n0,sky,1,2,3\n"
    table = class_table.load(write(tmp_path / "roads.csv", text))
    assert table == (ClassSet(("sky", "road"), ((1, 2, 3), (4, 5, 6))), True, False)


def test_txt_tables_name_one_class_per_line(tmp_path):
    table = class_table.load(write(tmp_path / "roads.txt", "sky\nroad\n\n"))
    assert table == (ClassSet(("sky", "road")), False, False)


def test_the_camvid_table_has_its_classes():
    classes, has_colors, has_ignore_label = class_table.load("datasets/tables/camvid.json")
    assert has_colors
    assert has_ignore_label
    assert classes.names[0] == "Sky"
    assert classes.names[10] == "Bicyclist"
    assert classes.colors[8] == (64, 0, 128)
    assert (classes.name, classes.count, classes.ignore_label) == ("camvid", 11, 11)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "", "must be a .json, .csv or .txt file"),
        ("a.json", "{}", "'classes' is missing"),
        ("a.json", "{", "not a class table"),
        ("a.json", json.dumps({"classes": [{"name": "a"}] * 2}), "names a twice"),
        ("a.json", '{"classes": [{"name": "a", "color": [1, 2, 300]}]}', "three numbers 0 to 255"),
        (
            "a.json",
            '{"classes": [{"name": "a", "color": [1, 2, 3]}, {"name": "b"}]}',
            "some classes have a colour and some have none",
        ),
        ("a.json", '{"classes": [{"name": "a"}], "ignore_label": 256}', "ignore_label 256"),
        ("a.csv", "id,name\n1,a\n1,b\n", "the ids must be 0 to 65535, each once, but are"),
        ("a.csv", "name\na\n", "its columns are name, not id and name"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.txt", "\n", "has 0 classes"),
        ("a.txt", "sky\nro\u202ead", "has the name 'ro.u202ead'"),
    ],
)
def test_a_broken_table_gets_a_sentence(tmp_path, name, text, message):
    with pytest.raises(UserError, match=message):
        class_table.load(write(tmp_path / name, text))


def test_classes_may_have_values_of_their_own(tmp_path):
    csv_table = class_table.load(write(tmp_path / "a.csv", "id,name\n255,cell\n7,membrane\n"))
    json_text = '{"classes": [{"name": "membrane", "id": 7}, {"name": "cell", "id": 255}]}'
    json_table = class_table.load(write(tmp_path / "a.json", json_text))
    for classes in (csv_table.classes, json_table.classes):
        assert (classes.names, classes.mask_values) == (("membrane", "cell"), (7, 255))
        label_of = mask_files.label_of_value(classes)
        assert label_of[[0, 7, 255]].tolist() == [-1, 0, 1]


def test_labelme_s_list_of_classes_has_a_line_that_is_none(tmp_path):
    table = class_table.load(write(tmp_path / "a.txt", "__ignore__\n_background_\ncat\n"))
    assert table.classes.names == ("_background_", "cat")


def test_mask_values_name_classes_and_what_never_counts():
    entries = ("0:background", "65535:salt", "7:ignore")
    classes = class_table.from_mask_values(entries).classes
    assert (classes.names, classes.mask_values) == (("background", "salt"), (0, 65535))
    label_of = mask_files.label_of_value(classes)
    assert label_of[[0, 65535, 7, 255, 1]].tolist() == [0, 1, 255, 255, -1]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (("0",), "--mask_values=0 must be written as VALUE:NAME,VALUE:NAME"),
        (("a:0",), "must be written as"),
        (("0:a", "0:b"), "gives a value or a name twice"),
        (("0:a", "1:a"), "gives a value or a name twice"),
        (("65536:a",), "by values from 0 to 65535"),
        (("0:ignore",), "must name classes"),
    ],
)
def test_mask_values_that_say_nothing_are_refused(entries, message):
    with pytest.raises(OptionError, match=message):
        class_table.from_mask_values(entries)


def test_a_missing_table_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        class_table.load(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "\ufeff__ignore__\nsky\nroad\n"),
        ("a.json", '\ufeff{"classes": [{"name": "sky"}, {"name": "road"}]}'),
        ("a.csv", "\ufeffid,name\n0,sky\n1,road\n"),
        ("a.csv", "id;name\r\n0;sky\r\n1;road\r\n"),
        ("a.csv", "id\tname\n0\tsky\n1\troad\n"),
    ],
)
def test_tables_that_editors_and_spreadsheets_saved_are_read(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    assert class_table.load(str(path)).classes == ClassSet(("sky", "road"))


def test_a_table_that_is_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(UserError, match="cannot be read: not a regular file"):
        class_table.load(str(tmp_path / "a.txt"))
