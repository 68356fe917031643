"""Draws the loss and its change against the learning rate, with matplotlib."""

from __future__ import annotations

from core.training.rate_curve import RateCurve
from options.lr_find import LrFindOptions
from utils.errors import UserError

_INCHES = (8, 8)
_DOTS_PER_INCH = 120


def draw(curve: RateCurve, options: LrFindOptions, path: str):
    """Writes a PNG: the loss above, its change below, over a logarithmic axis of rates.

    Args:
      curve: What the search found.
      options: How many steps are left out at the ends, and the limits of the change.
      path: The file to write.

    Raises:
      UserError: If matplotlib is missing, or no step is left to draw.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            f"{path} was not drawn, because matplotlib is missing: pip install -r "
            "requirements/plot.txt, or pass --nopicture. lr_find.json and lr_find.csv are complete."
        ) from error
    shown = slice(options.n_skip_beginning, len(curve.rates) - options.n_skip_end)
    if not curve.rates[shown]:
        raise UserError(
            f"{path} was not drawn: --n_skip_beginning={options.n_skip_beginning} and "
            f"--n_skip_end={options.n_skip_end} leave none of {len(curve.rates)} steps; pass "
            "smaller ones. lr_find.json and lr_find.csv are complete."
        )
    figure = Figure(figsize=_INCHES)
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(curve.rates[shown], curve.losses[shown])
    above.set_ylabel("loss")
    below.plot(curve.rates[shown], curve.changes[shown])
    below.set_ylabel(f"change of the loss per step, over {curve.distance}")
    below.set_xlabel("learning rate")
    below.set_xscale("log")
    if options.y_lim is not None:
        below.set_ylim(options.y_lim)
    _mark(curve.suggestion.rate, above, below)
    figure.savefig(path, dpi=_DOTS_PER_INCH, format="png")


def _mark(rate, *charts):
    """Draws a line at the suggested rate."""
    if rate is None:
        return
    for chart in charts:
        chart.axvline(rate, color="tab:red", linestyle="--", label=f"suggested: {rate:.3g}")
        chart.legend()
