"""Which steps change predicted labels after the threshold."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class PostprocessOptions(Options):
    """Steps after the threshold."""

    postprocess: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "Steps on the predicted labels, in this order; commas or the repeated flag separate them: "
        "min_object=PIXELS, largest_object, fill_holes, opening=RADIUS, closing=RADIUS, each with "
        "@CLASS+CLASS for some classes only, or FILE.py:FUNCTION of your own.",
        convert=str,
    )
