"""Plain data in, one HTML page out.

The page needs nothing else: styles, charts and pictures are inside. All texts are escaped by the
template, so that class names and file names may hold anything.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import os

from utils.errors import UserError
from utils.pictures import Panels

_TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")


@dataclasses.dataclass(frozen=True)
class Headline:
    """One of the large numbers at the top: its name, its text and a note below."""

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
class Column:
    """A column of the table of classes.

    Attributes:
      title: Its title.
      is_share: Whether it holds shares, written in per cent, instead of scores.
    """

    title: str
    is_share: bool = False


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """A class and its scores.

    Attributes:
      id: Its id.
      name: Its name.
      color: (red, green, blue).
      values: One per column, None where it is not defined.
    """

    id: int
    name: str
    color: tuple
    values: tuple


@dataclasses.dataclass(frozen=True)
class Sample:
    """One image with its result.

    Attributes:
      name: Its name.
      score_name: Name of its score.
      score: By which images are ranked.
      facts: Further results as short texts.
      panels: The pictures.
      classes: Ids of the classes that are labelled or predicted in it, the largest first.
    """

    name: str
    score_name: str
    score: float
    facts: tuple
    panels: Panels
    classes: tuple = ()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A section with a drawing.

    Attributes:
      anchor: Its id on the page.
      title: Its title.
      template: The file of utils/templates that draws it, from `content`.
      content: Plain data.
    """

    anchor: str
    title: str
    template: str
    content: dict


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
      title: What the page is about.
      subtitle: One line below it.
      headlines: The large numbers; the first is the largest.
      notices: Sentences that a reader must not miss.
      charts: Line charts; None entries are left out.
      columns: The columns of the table of classes; by the first one they are ranked.
      classes: The classes by id.
      samples: (title, samples) groups of images, in the order of the page.
      figures: Further sections.
      settings: Tables of settings.
      footer: (name, text): where the numbers come from.
    """

    title: str
    subtitle: str
    headlines: tuple
    notices: tuple
    charts: tuple
    columns: tuple
    classes: tuple
    samples: tuple
    figures: tuple
    settings: tuple
    footer: tuple


def is_available() -> bool:
    """Whether reports can be written here."""
    return importlib.util.find_spec("jinja2") is not None


def check_available():
    """Raises UserError if reports cannot be written here, before anything is measured."""
    if not is_available():
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
        score=score, percent=percent, data_uri=_data_uri, css_color=_css_color
    )
    return environment.get_template(template).render(**values)


def render(report: Report) -> str:
    """Returns the page as HTML."""
    known = [row.values[0] for row in report.classes if row.values[0] is not None]
    return page(
        "report.html.j2",
        report=report,
        charts=[chart for chart in report.charts if chart is not None],
        ranked=sorted(report.classes, key=_rank),
        measured=len(known),
        mean=sum(known) / len(known) if known else None,
        absent=[row.name for row in report.classes if row.values[0] is None],
    )


def _rank(row: ClassRow):
    """Sorts the best class first, and classes without a score last."""
    score = row.values[0]
    return (score is None, -(score or 0.0), row.id)


def score(value) -> str:
    """Returns a score with four decimals, a dash for None."""
    return "\u2013" if value is None else f"{value:.4f}"


def percent(value) -> str:
    """Returns a share with the digits that matter: 12.3 %, 0.04 %."""
    if value is None:
        return "\u2013"
    digits = 1 if value >= 0.001 or value == 0 else 3
    return f"{100.0 * value:.{digits}f} %"


def _data_uri(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def _css_color(color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in color))
