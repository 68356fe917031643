"""The report, its charts and its pictures."""

import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from utils import charts, pictures, report
from utils.errors import UserError

pytestmark = pytest.mark.once

COLUMNS = (report.Column("IoU"), report.Column("recall"), report.Column("pixels", is_share=True))


def _panels(ignore_label=255):
    random = np.random.RandomState(0)
    labels = random.randint(0, 3, [40, 60])
    labels[:10] = ignore_label
    image = random.randint(0, 256, [40, 60, 3]).astype(np.uint8)
    predictions = random.randint(0, 3, [40, 60])
    return pictures.panels(
        *pictures.shrunk(image, labels, predictions, longest_side=30),
        colors=[(255, 0, 0), (0, 255, 0), (0, 0, 255)],
        ignore_label=ignore_label,
    )


def _report(classes=3, names=None, **changes):
    names = names or [f"thing {index}" for index in range(classes)]
    confusion = np.eye(classes, dtype=np.int64) * 90 + 10
    content = {
        "heat_map": charts.heat_map(confusion, names),
        "confusions": charts.confusions(confusion, names, 10),
    }
    figure = report.Figure("confusion", "Confusion matrix", "confusion.html.j2", content)
    rows = [
        report.ClassRow(index, name, (index % 256, 1, 2), (0.25, 0.5, 1 / classes))
        for index, name in enumerate(names)
    ]
    content = {
        "title": "camvid",
        "subtitle": "model.ckpt-10",
        "headlines": (report.Headline("mIoU", "0.6123", "over all"),),
        "notices": (),
        "charts": (),
        "columns": COLUMNS,
        "classes": tuple(rows),
        "samples": (),
        "figures": (figure,),
        "settings": (report.Settings("Evaluation", (("eval_split", "val"),)),),
        "footer": (("device", "cpu"),),
    }
    content.update(changes)
    return report.Report(**content)


class _Page(html.parser.HTMLParser):
    """Collects addresses, and checks that tags are closed in order."""

    _VOID = frozenset(["meta", "img", "br", "link", "input", "hr"])

    def __init__(self, text):
        super().__init__()
        self.addresses, self.tags, self._open = [], [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self._VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


def test_the_page_needs_nothing_else():
    sample = report.Sample("a.png", "mIoU", 0.1, ("90 % right",), _panels())
    text = report.render(_report(samples=(("Worst images", (sample,)),)))
    page = _Page(text)
    assert page.tags.count("img") == 4
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_names_cannot_break_the_page():
    evil = '</td><script>alert("x")</script>&'
    sample = report.Sample(evil, evil, 0.1, (evil,), _panels())
    chart = charts.line_chart(evil, evil, [charts.Curve(evil, "#000", ((0, 1), (1, 2)))])
    text = report.render(
        _report(
            names=[evil, "b", "c"],
            title=evil,
            subtitle=evil,
            notices=(evil,),
            charts=(chart,),
            samples=((evil, (sample,)),),
            settings=(report.Settings(evil, ((evil, evil),), folded=True),),
            footer=((evil, evil),),
        )
    )
    assert evil not in text
    assert "<script>alert" not in text
    _Page(text)


@pytest.mark.parametrize("classes", [2, 11, 40, 151])
def test_any_number_of_classes_fits(classes):
    text = report.render(_report(classes))
    _Page(text)
    assert f"thing {classes - 1}" in text
    assert len(text) < 6e6


def test_names_of_the_confusion_matrix_have_the_room_they_need():
    # Advance widths of DejaVu Sans, a wide font, in thousandths of its size.
    widths = {"m": 974, "e": 615, "b": 635, "r": 411, "a": 613, "n": 634, "M": 863, "W": 989}
    for name in ("membrane", "mmmmmmmm", "MWMWMW"):
        drawn = charts.heat_map(np.eye(2, dtype=int), (name, "x"))
        needed = sum(widths[letter] for letter in name) / 1000 * drawn.font
        assert drawn.margin >= needed + 6
    narrow = charts.heat_map(np.eye(2, dtype=int), ("illicit", "x"))
    assert narrow.margin < charts.heat_map(np.eye(2, dtype=int), ("mammoth", "x")).margin


def test_with_many_classes_each_image_names_those_that_it_shows():
    for classes, legends in ((40, 1), (41, 2)):
        sample = report.Sample("a", "mIoU", 0.1, (), _panels(), tuple(range(classes)))
        text = report.render(_report(classes, samples=(("Worst images", (sample,)),)))
        assert text.count('class="legend"') == legends
        assert ("and 25 smaller ones" in text) == (legends == 2)


def test_a_missing_package_is_found_before_the_work(monkeypatch):
    report.check_available()
    monkeypatch.setattr(report.importlib.util, "find_spec", lambda name: None)
    assert not report.is_available()
    with pytest.raises(UserError, match="Jinja2; install it, or pass --noreport"):
        report.check_available()


def test_classes_are_ranked_and_those_without_a_score_come_last():
    rows = [
        report.ClassRow(0, "low", (0, 0, 0), (0.1, 0.2, 0.5)),
        report.ClassRow(1, "none", (0, 0, 0), (None, None, 0.0)),
        report.ClassRow(2, "high", (0, 0, 0), (0.9, 0.9, 0.5)),
    ]
    text = report.render(_with_rows(rows))
    table = text[text.index('id="class-table"') :]
    places = [table.index(f"</i>{name}") for name in ("high", "low", "none")]
    assert places == sorted(places)
    assert "no pixels" in table
    # The mean over the two that have a score.
    assert "left:50.00%" in table


def _with_rows(rows):
    names = [row.name for row in rows]
    content = _report(len(names), names)
    return report.Report(**{**vars(content), "classes": tuple(rows)})


def test_missing_curves_and_samples_leave_no_empty_section():
    text = report.render(_report(charts=(None, None)))
    assert 'id="training"' not in text
    assert 'id="images"' not in text
    assert 'href="#training"' not in text


def test_a_chart_covers_all_points_and_says_their_values():
    points = tuple((step, 1.0 / step) for step in range(1, 101))
    chart = charts.line_chart(
        "Loss", "step", [charts.Curve("loss", "#123456", points)], marker=(100, "here")
    )
    (line,) = chart.lines
    assert line.band == ""
    assert len(line.dots) == 100
    assert line.dots[0][0] == chart.left
    assert line.dots[-1][0] == chart.right == chart.marker[0]
    assert all(chart.top <= y <= chart.bottom for _, y, _ in line.dots)
    assert line.dots[1][2] == "step 2: loss 0.5"
    text = report.render(_report(charts=(chart,)))
    assert "<title>step 2: loss 0.5</title>" in text
    _Page(text)


def test_a_long_curve_is_averaged_within_its_range():
    points = tuple((step, float(step % 2)) for step in range(30000))
    chart = charts.line_chart("Loss", "step", [charts.Curve("loss", "#123456", points)])
    (line,) = chart.lines
    assert len(line.dots) <= 150
    assert line.band
    assert "mean of 200, 0 to 1" in line.dots[0][2]


def test_values_that_are_not_finite_are_left_out():
    curve = charts.Curve("loss", "#000", ((0, 1.0), (1, float("nan")), (2, None), (3, 2.0)))
    assert len(charts.line_chart("a", "step", [curve]).lines[0].dots) == 2
    alone = charts.Curve("loss", "#000", ((0, 1.0), (1, float("inf"))))
    assert charts.line_chart("a", "step", [alone]) is None


@pytest.mark.parametrize("value", [0.0, 5.0, 1e-9, -3.0])
def test_a_constant_curve_can_be_drawn(value):
    chart = charts.line_chart("a", "step", [charts.Curve("b", "#000", ((1, value), (2, value)))])
    assert all(chart.top <= y <= chart.bottom for _, y, _ in chart.lines[0].dots)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 30000, [0, 10000, 20000, 30000]),
        (3, 4.5, [3.0, 3.5, 4.0, 4.5]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert charts.ticks(low, high, 5) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (2e-5, "2e-5"), (1500, "1,500"), (30000, "30k"), (12345, "12,345")],
)
def test_numbers_are_written_as_a_person_does(value, text):
    assert charts.number(value) == text


def test_a_heat_map_shows_shares_of_the_label():
    drawn = charts.heat_map([[30, 10, 0], [0, 0, 0], [0, 1, 3]], ["a", "b", "c"])
    hovers = [cell[5] for cell in drawn.cells]
    assert hovers == [
        "a predicted as a: 75.0 % (30 pixels)",
        "a predicted as b: 25.0 % (10 pixels)",
        "c predicted as b: 25.0 % (1 pixels)",
        "c predicted as c: 75.0 % (3 pixels)",
    ]
    assert [cell[3] for cell in drawn.cells] == [True, False, False, True]
    assert len(drawn.empty_rows) == 1


def test_the_most_frequent_confusions_are_listed_without_hits():
    confusion = [[30, 10, 0], [0, 5, 0], [20, 0, 3]]
    assert charts.confusions(confusion, ["a", "b", "c"], 5) == [
        ("c", "a", 20, 20 / 23),
        ("a", "b", 10, 0.25),
    ]


def _decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)), np.int64)


def test_pictures_are_small_and_of_one_size():
    panels = _panels()
    for content in vars(panels).values():
        assert _decoded(content).shape == (20, 30, 3)
    small = [np.zeros([3, 5, 3], np.uint8), np.zeros([3, 5]), np.zeros([3, 5])]
    assert pictures.shrunk(*small, longest_side=400)[0].shape == (3, 5, 3)


def test_a_shrunk_map_holds_ids_of_the_middle_of_each_pixel_also_large_ones():
    ids = np.arange(36).reshape(6, 6) + 1000
    image = np.zeros([6, 6, 3], np.uint8)
    _, labels, _ = pictures.shrunk(image, ids, ids, longest_side=2)
    np.testing.assert_array_equal(labels, [[1007, 1010], [1025, 1028]])


def test_wrong_pixels_are_red_and_ignored_ones_are_bleached():
    labels = np.zeros([48, 48], np.int64)
    labels[:16] = 255
    predictions = np.zeros([48, 48], np.int64)
    predictions[32:] = 1
    panels = pictures.panels(
        np.full([48, 48, 3], 100, np.uint8),
        labels,
        predictions,
        colors=[(0, 0, 200), (0, 200, 0)],
        ignore_label=255,
    )
    error = _decoded(panels.error)
    ignored, right, wrong = error[8, 24], error[24, 24], error[40, 24]
    assert ignored.min() > 150
    assert right.max() < 60
    assert wrong[0] > 200
    assert wrong[2] < 80
    truth, prediction = _decoded(panels.truth), _decoded(panels.prediction)
    assert truth[24, 24].argmax() == truth[40, 24].argmax() == 2
    assert truth[8, 24].min() > 150
    assert prediction[40, 24].argmax() == 1


def test_colours_are_written_for_css():
    text = report.render(_with_rows([report.ClassRow(0, "a", (255, 128, 0), (0.5,) * 3)]))
    assert re.search(r"background:#ff8000", text)


def test_a_reliability_diagram_shows_the_bins_that_have_pixels():
    bins = [
        {"confidence": 0.0, "accuracy": 0.0, "share": 0.0},
        {"confidence": 0.75, "accuracy": 0.5, "share": 1.0},
    ]
    drawn = charts.reliability(bins)
    ((x, y, width, height, hover),) = drawn.bars
    assert (x, width) == pytest.approx(((drawn.left + drawn.right) / 2 + 1, 196), abs=0.1)
    assert y == pytest.approx((drawn.top + drawn.bottom) / 2)
    assert y + height == drawn.bottom
    assert hover == "confidence 75.0 %: 50.0 % right (100.00 % of the pixels)"
    assert drawn.marks[0][1] == pytest.approx(drawn.top + 0.25 * (drawn.bottom - drawn.top))
    figure = report.Figure("calibration", "Calibration", "calibration.html.j2", {"diagram": drawn})
    text = report.render(_report(figures=(figure,)))
    assert 'href="#calibration"' in text
    assert hover in text
    _Page(text)
    assert "calibration" not in report.render(_report())


def test_columns_hold_scores_and_shares():
    row = report.ClassRow(0, "a", (0, 0, 0), (0.5, 0.4321, 0.125))
    text = report.render(_with_rows([row]))
    assert "0.4321" in text
    assert "12.5 %" in text
    for column in COLUMNS:
        assert f"<button>{column.title}</button>" in text
    _Page(text)


def test_absent_classes_are_named():
    rows = [
        report.ClassRow(0, "here", (0, 0, 0), (0.1, 0.2, 1.0)),
        report.ClassRow(1, "never seen", (0, 0, 0), (None, None, 0.0)),
    ]
    text = " ".join(report.render(_with_rows(rows)).split())
    assert "not part of the mean: never seen." in text


def test_several_classes_of_a_pixel_are_drawn_in_their_mean_colour():
    labels = np.zeros([48, 48, 2], np.int64)
    labels[16:, :, 0] = 1
    labels[32:, :, 1] = 1
    labels[40:] = 255
    predictions = labels.copy()
    predictions[:8, :, 1] = 1
    panels = pictures.panels(
        np.full([48, 48, 3], 100, np.uint8),
        *(labels, predictions),
        colors=[(0, 0, 240), (240, 0, 0)],
        ignore_label=255,
    )
    truth, error = _decoded(panels.truth), _decoded(panels.error)
    assert np.abs(truth[12, 24] - 100).max() < 5
    assert truth[24, 24].argmax() == 2
    assert abs(truth[36, 24, 0] - truth[36, 24, 2]) < 5
    assert truth[44, 24].min() > 150
    assert error[4, 24, 0] > 200
    assert error[24, 24].max() < 60
    assert error[44, 24].min() > 150
