"""The layout of the report's charts: numbers in, positions and texts for the template out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

# More points than this are averaged in groups of neighbours, with their range as a band.
_MOST_POINTS = 150
_WIDTH, _HEIGHT = 460.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 50.0, 14.0, 12.0, 40.0


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
      name: Its name in the legend.
      color: A CSS colour.
      points: (x, y) pairs in the order of x; points without a finite y are omitted.
    """

    name: str
    color: str
    points: tuple


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve in the coordinates of the drawing.

    Attributes:
      name: Its name in the legend.
      color: A CSS colour.
      path: Points of an SVG polyline.
      band: Points of an SVG polygon around it, the range of averaged values, or "".
      dots: (x, y, text) to hover over.
    """

    name: str
    color: str
    path: str
    band: str
    dots: tuple


@dataclasses.dataclass(frozen=True)
class LineChart:
    """A chart in the coordinates of the drawing."""

    title: str
    x_label: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple
    y_ticks: tuple
    lines: tuple
    marker: tuple | None


def line_chart(title: str, x_label: str, curves, *, marker=None) -> LineChart | None:
    """Lays out a chart of curves over a common axis.

    Args:
      title: Its title.
      x_label: The label of the horizontal axis.
      curves: The curves.
      marker: (x, text) of a vertical line, or None.

    Returns:
      The chart, or None if no curve has two points.
    """
    curves = [
        dataclasses.replace(curve, points=[point for point in curve.points if _is_finite(point)])
        for curve in curves
    ]
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return None
    x_range = _range([x for curve in curves for x, _ in curve.points])
    y_range = _y_range([y for curve in curves for _, y in curve.points])
    to_x = _scale(x_range, _LEFT, _WIDTH - _RIGHT)
    to_y = _scale(y_range, _HEIGHT - _BOTTOM, _TOP)
    marker_shown = marker is not None and x_range[0] <= marker[0] <= x_range[1]
    return LineChart(
        title=title,
        x_label=x_label,
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
        x_ticks=tuple((to_x(value), number(value)) for value in ticks(*x_range, 5)),
        y_ticks=tuple((to_y(value), number(value)) for value in ticks(*y_range, 5)),
        lines=tuple(_line(curve, x_label, to_x, to_y) for curve in curves),
        marker=(to_x(marker[0]), marker[1]) if marker_shown else None,
    )


def _is_finite(point):
    return all(value is not None and math.isfinite(value) for value in point)


def _range(values):
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _y_range(values):
    """Returns the range of the axis: from zero, unless all values are far from it."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    starts_at_zero = 0.0 <= low < 0.7 * high
    return (0.0 if starts_at_zero else low - margin), high + margin


def _scale(value_range, begin, end):
    low, high = value_range
    return lambda value: round(begin + (value - low) / (high - low) * (end - begin), 1)


def _line(curve, x_label, to_x, to_y) -> Line:
    groups = _groups(curve.points)
    dots, upper, lower = [], [], []
    for group in groups:
        x = sum(point[0] for point in group) / len(group)
        values = [point[1] for point in group]
        y = sum(values) / len(values)
        text = f"{x_label} {group[-1][0]:,.0f}: {curve.name} {number(y)}"
        if len(group) > 1:
            text += f" (mean of {len(group)}, {number(min(values))} to {number(max(values))})"
        dots.append((to_x(x), to_y(y), text))
        upper.append((to_x(x), to_y(max(values))))
        lower.append((to_x(x), to_y(min(values))))
    averaged = len(groups) < len(curve.points)
    return Line(
        name=curve.name,
        color=curve.color,
        path=_joined(dots),
        band=_joined(upper + lower[::-1]) if averaged else "",
        dots=tuple(dots),
    )


def _groups(points):
    """Returns at most _MOST_POINTS lists of neighbours of about equal length."""
    size = -(-len(points) // _MOST_POINTS)
    return [points[start : start + size] for start in range(0, len(points), size)]


def _joined(points):
    return " ".join(f"{point[0]},{point[1]}" for point in points)


def ticks(low: float, high: float, count: int) -> list:
    """Returns about `count` round numbers in a range: multiples of 1, 2 or 5 times a power of 10.

    Args:
      low: Start of the range.
      high: Its end, > low.
      count: The desired number, > 0.
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def number(value: float) -> str:
    """Returns a short text of a number: 0, 0.25, 1,500, 30k, 2e-5."""
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 10000 and value % 1000 == 0:
        return f"{value / 1000:,.0f}k"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


@dataclasses.dataclass(frozen=True)
class Reliability:
    """A reliability diagram in the coordinates of the drawing.

    Attributes:
      width: Of the drawing.
      height: Of the drawing.
      left: Where the axes begin.
      right: Where they end.
      top: Accuracy 1.
      bottom: Accuracy 0.
      base: Bottom of the bars of the pixels' shares.
      ticks: (x, y, text) of both axes; the text is in percent.
      bars: (x, y, width, height, text to hover over) of each bin's accuracy.
      marks: (x, y, width) of each bin's mean confidence, which ideally equals its accuracy.
      shares: (x, y, width, height) of each bin's share of pixels.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    base: float
    ticks: tuple
    bars: tuple
    marks: tuple
    shares: tuple


# Height of the shares of pixels below the diagram, and the gap between both.
_SHARES_HEIGHT, _SHARES_GAP = 46.0, 30.0


def reliability(bins) -> Reliability:
    """Lays out the accuracy of a network over its confidence.

    Args:
      bins: Dicts of `confidence`, `accuracy` and `share` of equal bins over 0 to 1.
    """
    left, right, top = _LEFT, _WIDTH - _RIGHT, _TOP
    bottom = top + 220.0
    base = bottom + _SHARES_GAP + _SHARES_HEIGHT
    to_x, to_y = _scale((0.0, 1.0), left, right), _scale((0.0, 1.0), bottom, top)
    largest = max((item["share"] for item in bins), default=0.0) or 1.0
    bars, marks, shares = [], [], []
    for number, item in enumerate(bins):
        if not item["share"]:
            continue
        x, width = to_x(number / len(bins)), (right - left) / len(bins)
        inset, inner = round(x + 1.0, 1), round(width - 2.0, 1)
        hover = (
            f"confidence {100 * item['confidence']:.1f} %: {100 * item['accuracy']:.1f} % right "
            f"({100 * item['share']:.2f} % of the pixels)"
        )
        y = to_y(item["accuracy"])
        bars.append((inset, y, inner, round(bottom - y, 1), hover))
        marks.append((inset, to_y(item["confidence"]), inner))
        tall = round(_SHARES_HEIGHT * item["share"] / largest, 1)
        shares.append((inset, round(base - tall, 1), inner, tall))
    return Reliability(
        width=_WIDTH,
        height=base + 40.0,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        base=base,
        ticks=tuple((to_x(value), to_y(value), f"{100 * value:.0f}") for value in ticks(0, 1, 5)),
        bars=tuple(bars),
        marks=tuple(marks),
        shares=tuple(shares),
    )


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """A normalized confusion matrix in the coordinates of the drawing.

    Attributes:
      cell: Width and height of a cell.
      margin: Space for the names at the left and the top.
      size: Width and height of the whole drawing.
      cells: (x, y, opacity, whether on the diagonal, text in the cell, text to hover over).
      empty_rows: y of the rows without pixels.
      row_names: (y, text) at the left.
      column_names: (x, text) at the top.
      font: Size of the names.
    """

    cell: float
    margin: float
    size: float
    cells: tuple
    empty_rows: tuple
    row_names: tuple
    column_names: tuple
    font: float


# Largest number of classes -> size of a cell in pixels.
_CELL_SIZES = ((4, 88.0), (12, 50.0), (24, 36.0), (40, 22.0), (80, 13.0), (256, 7.0))
# Widths of letters in units of the font size: narrow and wide ones, the usual, and those of scripts
# with square letters.
_WIDTHS = {
    **dict.fromkeys("ijl.,:;'|!", 0.34),
    **dict.fromkeys("ftr()[]- ", 0.42),
    **dict.fromkeys("mwMW@%\u2026", 1.0),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ&", 0.79),
}
_USUAL, _WIDE = 0.65, 1.05
# Cells below this share of a row stay white, since there could be thousands of them.
_LEAST_SHARE = 0.001


def heat_map(confusion, names) -> HeatMap:
    """Lays out a confusion matrix, each row divided by its sum.

    Args:
      confusion: Integers [classes, classes], rows are labels.
      names: Class names by id.
    """
    confusion = np.asarray(confusion, np.float64)
    classes = len(names)
    cell = next(size for most, size in _CELL_SIZES if classes <= most)
    # Names fit on cells of 13 pixels; smaller ones get every tenth id.
    named = cell >= 13.0
    font = min(12.0, max(9.0, cell - 3.0))
    longest = max(_width(_short(name)) for name in names) if named else _width("000")
    margin = round(longest * font + 12.0, 1)
    labels = [
        (round(margin + (index + 0.5) * cell, 1), _short(name) if named else str(index))
        for index, name in enumerate(names)
        if named or index % 10 == 0
    ]
    totals = confusion.sum(axis=1)
    return HeatMap(
        cell=cell,
        margin=margin,
        size=round(margin + classes * cell + 1.0, 1),
        cells=tuple(_cells(confusion, totals, names, cell, margin)),
        empty_rows=tuple(margin + index * cell for index in np.flatnonzero(totals == 0)),
        row_names=tuple(labels),
        column_names=tuple(labels),
        font=font,
    )


def _cells(confusion, totals, names, cell, margin):
    shares = confusion / np.maximum(totals, 1.0)[:, np.newaxis]
    for row, column in np.argwhere(shares >= _LEAST_SHARE):
        share = shares[row, column]
        percent = f"{100.0 * share:.0f}" if cell >= 36.0 and share >= 0.005 else ""
        hover = (
            f"{names[row]} predicted as {names[column]}: {100.0 * share:.1f} % "
            f"({int(confusion[row, column]):,} pixels)"
        )
        # The square root makes small confusions visible.
        opacity = round(float(np.sqrt(share)), 3)
        x, y = margin + column * cell, margin + row * cell
        yield round(x, 1), round(y, 1), opacity, bool(row == column), percent, hover


def _width(text: str) -> float:
    """Returns the width of a text in units of its font size, that of a wide font (DejaVu Sans)."""
    return sum(_WIDTHS.get(letter, _WIDE if ord(letter) > 0x2E7F else _USUAL) for letter in text)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "\u2026"


def confusions(confusion, names, count: int) -> list:
    """Returns the most frequent mistakes: (label name, predicted name, pixels, share of label).

    Args:
      confusion: Integers [classes, classes], rows are labels.
      names: Class names by id.
      count: The most to return.
    """
    wrong = np.array(confusion, np.int64)
    totals = wrong.sum(axis=1)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    found = []
    for row, column in zip(*np.unravel_index(order, wrong.shape)):
        pixels = int(wrong[row, column])
        if pixels:
            found.append((names[row], names[column], pixels, pixels / int(totals[row])))
    return found
