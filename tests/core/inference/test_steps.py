"""Steps after the threshold: what each does, and what all of them keep."""

import itertools

import numpy as np
import pytest

from core.inference import steps
from utils.classes import BINARY, MULTILABEL, ClassSet
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.once

CLASSES = ClassSet(("ground", "road", "car", "tree"), ignore_label=255)
SALT = ClassSet(("rest", "salt"), task=BINARY)
LABELS = ClassSet(("water", "cloud"), task=MULTILABEL)
# How each step is written; a new one is refused here until it is named.
TEXTS = {
    "min_object": "min_object=6",
    "fill_holes": "fill_holes",
    "opening": "opening=1",
    "closing": "closing=2",
    "largest_object": "largest_object",
}
EACH = pytest.mark.parametrize("text", [TEXTS[name] for name in sorted(steps.STEPS)])


def done(texts, labels, classes=SALT):
    return steps.create([texts] if isinstance(texts, str) else texts, classes)(np.asarray(labels))


def drawn(*rows):
    """Returns labels of digits; a point is 0."""
    return np.array([[int(mark) for mark in row.replace(".", "0")] for row in rows], np.uint8)


def blobs(seed, count, size=(40, 33)):
    """Returns labels of irregular regions, uint8 [h, w] in 0..count-1."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, count, [size[0] // 4 + 1, size[1] // 4 + 1])
    fine = np.kron(coarse, np.ones([4, 4], int))[: size[0], : size[1]]
    specks = random.rand(*size) < 0.15
    return np.where(specks, random.randint(0, count, size), fine).astype(np.uint8)


def test_objects_of_too_few_pixels_go_and_are_joined_over_corners():
    labels = drawn(
        "1....",
        ".1..1",
        "..1..",
    )
    expected = drawn(
        "1....",
        ".1...",
        "..1..",
    )
    np.testing.assert_array_equal(done("min_object=3", labels), expected)
    np.testing.assert_array_equal(done("min_object=4", labels), np.zeros_like(labels))
    np.testing.assert_array_equal(done("min_object=1", labels), labels)


def test_the_largest_object_stays_and_of_equal_ones_the_first():
    labels = drawn(
        "11..1",
        "....1",
        "1...1",
    )
    expected = drawn(
        "....1",
        "....1",
        "....1",
    )
    np.testing.assert_array_equal(done("largest_object", labels), expected)
    np.testing.assert_array_equal(done("largest_object", drawn("1.1")), drawn("1.."))


def test_a_hole_is_what_cannot_leave_over_edges():
    labels = drawn(
        ".111.",
        "11.11",
        "1.111",
        "1111.",
        "11111",
    )
    expected = drawn(
        ".111.",
        "11111",
        "11111",
        "1111.",
        "11111",
    )
    np.testing.assert_array_equal(done("fill_holes", labels), expected)


def test_an_opening_removes_lines_and_keeps_what_touches_the_border():
    labels = drawn(
        "111.....",
        "111.....",
        "111.....",
        "111.1111",
        "111.....",
    )
    found = done("opening=1", labels)
    np.testing.assert_array_equal(found[:, 4:], np.zeros([5, 4]))
    np.testing.assert_array_equal(found[:, :3], np.ones([5, 3]))


def test_a_closing_bridges_cracks_and_keeps_the_border():
    labels = drawn(
        "1111.111",
        "1111.111",
        "1111.111",
        "........",
        "........",
        "........",
    )
    expected = labels.copy()
    expected[:3] = 1
    np.testing.assert_array_equal(done("closing=2", labels)[:2], expected[:2])
    np.testing.assert_array_equal(done("closing=2", labels)[4:], expected[4:])


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("name", ["opening", "closing"])
def test_opening_and_closing_are_those_of_a_disk(name, radius):
    mask = blobs(3, 2)
    reach = range(-radius, radius + 1)
    disk = [(y, x) for y, x in itertools.product(reach, reach) if y * y + x * x <= radius**2]

    def grown(array):
        padded = np.pad(array, radius, "constant")
        height, width = array.shape
        return np.max(
            [
                padded[radius + y : radius + y + height, radius + x : radius + x + width]
                for y, x in disk
            ],
            axis=0,
        )

    def shrunk(array):
        return 1 - grown(1 - array)

    expected = grown(shrunk(mask)) if name == "opening" else shrunk(grown(mask))
    np.testing.assert_array_equal(done(f"{name}={radius}", mask), expected)


def test_what_a_class_loses_gets_the_class_around_it():
    labels = drawn(
        "11111333",
        "11211333",
        "11111323",
        "11111333",
    )
    expected = np.where(labels == 2, np.where(np.arange(8) > 4, 3, 1), labels)
    np.testing.assert_array_equal(done("min_object=2", labels, CLASSES), expected)


@pytest.mark.parametrize("labels", [drawn("3", "2"), drawn("2", "3"), drawn("23"), drawn("32")])
def test_surroundings_on_any_one_side_are_enough(labels):
    np.testing.assert_array_equal(done("min_object=2", labels, CLASSES), np.full(labels.shape, 3))


def test_an_opened_spur_does_not_get_its_own_class_back():
    labels = np.full([9, 20], 3, np.uint8)
    labels[:, :9] = 2
    labels[4, 9:15] = 2
    expected = np.full([9, 20], 3, np.uint8)
    expected[:, :9] = 2
    np.testing.assert_array_equal(done("opening=2@car", labels, CLASSES)[:, 10:], expected[:, 10:])


def test_an_object_grows_over_the_background_only_unless_it_is_named():
    labels = drawn(
        "111111",
        "1.1131",
        "111111",
    )
    filled = drawn(
        "111111",
        "111131",
        "111111",
    )
    np.testing.assert_array_equal(done("fill_holes", labels, CLASSES), filled)
    np.testing.assert_array_equal(done("fill_holes@road", labels, CLASSES), np.ones([3, 6]))


def test_the_background_changes_only_if_it_is_named():
    labels = drawn("333.333", "3333333")
    np.testing.assert_array_equal(done("min_object=5", labels, CLASSES), labels)
    np.testing.assert_array_equal(done("min_object=5@0", labels, CLASSES), np.full([2, 7], 3))
    np.testing.assert_array_equal(done("min_object=5@ground+1", labels, CLASSES)[0, 3], 3)


def test_planes_of_several_labels_change_one_by_one():
    labels = np.zeros([5, 6, 2], np.uint8)
    labels[1:4, 1:4, 0] = 1
    labels[2, 2, 0] = 0
    labels[0, 5] = 1
    found = done(["min_object=2@cloud", "fill_holes"], labels, LABELS)
    assert found[2, 2, 0] == 1
    assert found[0, 5].tolist() == [1, 0]


def test_steps_run_in_the_order_given():
    labels = drawn("11111", "1...1", "1.1.1", "1...1", "11111")
    labels = np.pad(labels, 1, "constant")
    solid = np.pad(np.ones([5, 5]), 1, "constant")
    np.testing.assert_array_equal(done("fill_holes,opening=1", labels)[2:5, 2:5], solid[2:5, 2:5])
    np.testing.assert_array_equal(done(["opening=1", "fill_holes"], labels), np.zeros([7, 7]))


@EACH
@pytest.mark.parametrize("seed", range(3))
def test_labels_stay_classes_of_the_same_type_and_the_argument_as_it_was(text, seed):
    for classes, dtype in ((SALT, np.uint8), (CLASSES, np.int32)):
        labels = blobs(seed, classes.count).astype(dtype)
        before = labels.copy()
        found = done(text, labels, classes)
        assert found.dtype == dtype
        assert found.shape == labels.shape
        assert set(np.unique(found)) <= set(range(classes.count))
        assert np.any(found != labels)
        np.testing.assert_array_equal(labels, before)


@EACH
@pytest.mark.parametrize("seed", range(3))
def test_a_second_time_changes_nothing(text, seed):
    planes = np.stack([blobs(seed, 2), blobs(seed + 7, 2)], axis=2)
    cases = [(SALT, blobs(seed, 2)), (LABELS, planes)]
    if "ing=" not in text:
        # What one class loses another gains: its form may no longer be open then.
        cases.append((CLASSES, blobs(seed, 4)))
    for classes, labels in cases:
        once = done(text, labels, classes)
        np.testing.assert_array_equal(done(text, once, classes), once)


@EACH
def test_ignored_pixels_stay_and_are_not_spread(text):
    labels = blobs(1, 4)
    ignored = np.random.RandomState(0).rand(*labels.shape) < 0.1
    labels[ignored] = 255
    for chosen in (text, f"{text}@0+1+2+3"):
        found = done(chosen, labels, CLASSES)
        np.testing.assert_array_equal(found == 255, ignored)
    planes = np.stack([blobs(seed, 2) for seed in (1, 2)], axis=2)
    planes[ignored] = 255
    np.testing.assert_array_equal(done(text, planes, LABELS)[..., 0] == 255, ignored)


@EACH
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5)])
def test_images_of_one_class_or_of_few_pixels_have_labels_too(text, size):
    for label in range(4):
        found = done(text, np.full(size, label, np.uint8), CLASSES)
        # An object that is too small for an image of its own leaves the background.
        assert set(np.unique(found)) <= {0, label}
        if label == 0 or size == (7, 5):
            assert np.all(found == label)
    assert done(text, np.zeros([0, 4], np.uint8), CLASSES).shape == (0, 4)
    np.testing.assert_array_equal(done(text, np.zeros([*size, 2], np.uint8), LABELS), 0)


def test_nothing_is_made_without_steps():
    assert steps.create(None, CLASSES) is None
    assert steps.create(["", " , "], CLASSES) is None
    assert steps.texts_of(["fill_holes, min_object=3", "opening=1"]) == [
        "fill_holes",
        "min_object=3",
        "opening=1",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_objects=3", "min_objects .*known: closing, fill_holes, largest_object, min_object"),
        ("min_object", "min_object: .*number"),
        ("opening=0", "opening=0: .*1 to 999999999"),
        ("opening=1.5", "opening=1.5: .*whole"),
        ("min_object=-3", "min_object=-3"),
        ("min_object=" + 5000 * "9", "whole number"),
        ("fill_holes=3", "fill_holes=3: .*no number"),
        ("fill_holes@sky", "sky is no class; .*ground, road, car, tree"),
        ("fill_holes@4", "4 is no class"),
        ("fill holes", "fill holes is not NAME"),
    ],
)
def test_a_wrong_step_is_refused(text, message):
    with pytest.raises(OptionError, match=message):
        steps.create([text], CLASSES)


@pytest.fixture
def own(tmp_path):
    """Returns a function that writes a user's file and names a function in it."""

    def write(body, name="clean"):
        (tmp_path / "mine.py").write_text(
            f"import numpy as np\n\n\ndef clean(labels, names):\n{body}"
        )
        return f"{tmp_path / 'mine.py'}:{name}"

    return write


def test_a_function_of_a_file_is_a_step(own):
    text = own("    labels[labels == names.index('car')] = 1\n    return labels\n")
    labels = drawn("12.")
    np.testing.assert_array_equal(done(["fill_holes", text], labels, CLASSES), drawn("11."))
    np.testing.assert_array_equal(labels, drawn("12."))
    assert done(text, labels.astype(np.int32), CLASSES).dtype == np.int32


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return labels + 3\n", "returned the label 4.* 0 to 3"),
        ("    return labels[:1]\n", r"returned uint8 \[1, 2\].*\[2, 2\]"),
        ("    return labels / 2\n", "returned float"),
        ("    return None\n", "returned object"),
        ("    raise KeyError('soil')\n", "failed .*KeyError: 'soil'"),
    ],
)
def test_what_a_function_returns_is_checked(own, body, message):
    clean = steps.create([own(body)], CLASSES)
    with pytest.raises(UserError, match=message):
        clean(drawn("12", "33"))


def test_a_file_without_the_function_is_a_sentence(own, tmp_path):
    with pytest.raises(UserError, match="no file .*gone.py"):
        steps.create([f"{tmp_path}/gone.py:clean"], CLASSES)
    with pytest.raises(UserError, match="has no function other"):
        steps.create([own("    return labels\n", "other")], CLASSES)
    with pytest.raises(UserError, match="cannot be loaded: SyntaxError"):
        steps.create([own("    return (\n")], CLASSES)


def test_code_is_no_part_of_an_export(own):
    steps.check_storable(["fill_holes"])
    with pytest.raises(OptionError, match="mine.py:clean is code of yours"):
        steps.check_storable(["fill_holes", own("    return labels\n")])


def test_every_step_says_how_it_is_written():
    assert sorted(TEXTS) == sorted(steps.STEPS)
