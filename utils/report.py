"""Plain data in, one HTML page out.

The page needs nothing else: styles, charts and pictures are inside. All texts are escaped by the
template, so that class names and file names may hold anything.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import os

from utils import charts
from utils.errors import UserError
from utils.pictures import Panels

_TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
_CONFUSIONS = 10


@dataclasses.dataclass(frozen=True)
class Headline:
    """One of the large numbers at the top: its name, its text, and a few words below."""

    name: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Settings:
    """A table of settings.

    Attributes:
      title: Its title.
      rows: (name, text).
      folded: Whether it is shown on request only.
    """

    title: str
    rows: tuple
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """The scores of one class; None where a score is not defined.

    Attributes:
      id: Its id.
      name: Its name.
      color: (red, green, blue).
      iou: Intersection over union.
      precision: Share of predicted pixels that are right.
      recall: Share of labelled pixels that are found.
      f1: Harmonic mean of both.
      share: Share of all labelled pixels.
      boundary_iou: IoU near boundaries, None also where it was not measured.
    """

    id: int
    name: str
    color: tuple
    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    share: float
    boundary_iou: float | None = None


@dataclasses.dataclass(frozen=True)
class Sample:
    """One image with its result.

    Attributes:
      name: Its name.
      miou: Mean IoU over the classes in this image.
      accuracy: Share of its pixels that are right.
      mistakes: (label name, predicted name, share of the image's pixels), largest first.
      panels: The pictures.
      classes: Ids of the classes that are labelled or predicted in it, the largest first.
    """

    name: str
    miou: float
    accuracy: float
    mistakes: tuple
    panels: Panels
    classes: tuple = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
      title: What the page is about.
      subtitle: One line below it.
      headlines: The large numbers; the first is the largest.
      notices: Sentences that a reader must not miss.
      charts: Line charts; None entries are left out.
      classes: The classes by id.
      confusion: Integers [classes, classes], rows are labels.
      samples: (title, samples) groups of images, in the order of the page.
      settings: Tables of settings.
      footer: (name, text): where the numbers come from.
      reliability: The reliability diagram, None if calibration was not measured.
    """

    title: str
    subtitle: str
    headlines: tuple
    notices: tuple
    charts: tuple
    classes: tuple
    confusion: object
    samples: tuple
    settings: tuple
    footer: tuple
    reliability: charts.Reliability | None = None


def check_available():
    """Raises UserError if reports cannot be written here, before anything is measured."""
    if importlib.util.find_spec("jinja2") is None:
        raise UserError("reports need the package Jinja2; install it, or pass --noreport.")


def page(template: str, **values) -> str:
    """Returns a template of utils/templates, filled with values; all texts are escaped."""
    # Here, so that evaluation without a report does without this package.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        score=_score, percent=_percent, data_uri=_data_uri, css_color=_css_color
    )
    return environment.get_template(template).render(**values)


def render(report: Report) -> str:
    """Returns the page as HTML."""
    names = [row.name for row in report.classes]
    return page(
        "report.html.j2",
        report=report,
        charts=[chart for chart in report.charts if chart is not None],
        ranked=sorted(report.classes, key=_rank),
        heat_map=charts.heat_map(report.confusion, names),
        confusions=charts.confusions(report.confusion, names, _CONFUSIONS),
        measured=[row for row in report.classes if row.iou is not None],
        absent=[row.name for row in report.classes if row.iou is None],
        has_boundaries=any(row.boundary_iou is not None for row in report.classes),
    )


def _rank(row: ClassRow):
    """Sorts the best class first, and classes without a score last."""
    return (row.iou is None, -(row.iou or 0.0), row.id)


def _score(value) -> str:
    return "\u2013" if value is None else f"{value:.4f}"


def _percent(value) -> str:
    """Returns a share with the digits that matter: 12.3 %, 0.04 %."""
    if value is None:
        return "\u2013"
    digits = 1 if value >= 0.001 or value == 0 else 3
    return f"{100.0 * value:.{digits}f} %"


def _data_uri(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def _css_color(color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in color))
