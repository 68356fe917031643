"""The networks of a segmenter: checkpoints or an exported model, for crops of any orientation."""

from __future__ import annotations

import dataclasses
import os

from core import network
from core.checkpoints import restore
from core.inference.exported_model import ExportedModel
from core.inference.predictor import Member, Predictor
from options import saved as saved_options
from options.config import Config
from options.saved import SavedOptions
from utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint, what was saved beside it, and both together with the given options."""

    member: Member
    saved: SavedOptions
    config: Config

    @property
    def channels(self) -> int | None:
        """Outputs per pixel, None if unknown."""
        classifier = network.architecture(self.member.spec).classifier
        return restore.num_outputs(self.member.checkpoint_path, classifier)


def find(sources, config: Config, change_network: bool, averaged: bool = False) -> list:
    """Returns the checkpoints that are named, each with the options that were saved with it.

    Args:
      sources: Folders of runs, whose newest checkpoints are taken, or prefixes of checkpoints.
      config: The network and its sizes where nothing was saved; given options take precedence.
      change_network: Whether given options may contradict the saved network.
      averaged: Whether the EMA of the weights is used.

    Raises:
      UserError: If there is no checkpoint, it holds no averages, or they do not have the same
        classes and sizes.
      OptionError: If an option contradicts what was saved.
    """
    found = []
    for source in sources:
        is_folder = os.path.isdir(source)
        saved = saved_options.load(source if is_folder else os.path.dirname(source) or ".")
        joined = saved_options.join(config, saved, change_network=change_network)
        path = restore.newest(source) if is_folder else source
        if averaged:
            restore.averages_of(path)
        found.append(Trained(Member(path, joined.spec, averaged), saved, joined))
    _check_alike(found)
    return found


def _check_alike(found: list):
    """Raises UserError if the probabilities of checkpoints cannot be averaged."""
    first = found[0]
    for other in found[1:]:
        for what, mine, theirs in _compared(first, other):
            if mine != theirs:
                raise UserError(
                    f"{first.member.checkpoint_path} and {other.member.checkpoint_path} cannot be "
                    f"averaged: their {what} are {mine} and {theirs}."
                )


def _compared(first: Trained, other: Trained):
    """Yields (what, value, value) of what two checkpoints must have in common, where known."""
    yield "outputs per pixel", first.channels, other.channels
    pairs = [
        (first.saved.run, other.saved.run, ["class_names", "task"]),
        (first.saved.values(), other.saved.values(), sorted(saved_options.DATA_OF_THE_NETWORK)),
    ]
    for mine, theirs, names in pairs:
        for name in names:
            if name in mine and name in theirs:
                yield name, mine[name], theirs[name]


class Checkpoints:
    """Checkpoints whose probabilities are averaged, for images of a crop or of any size.

    Attributes:
      crop_size: (height, width) that images must fit into, None for any size.
      can_turn: Whether the crop may be turned for portrait photos.
      has_probabilities: Always.
    """

    has_probabilities = True

    def __init__(self, members, *, crop_size, windows=None, **settings):
        """Builds the network for its crop; the turned one is built when a photo needs it.

        Args:
          members: The networks.
          crop_size: (height, width), or None; windows take its place.
          windows: `core.inference.windows.Windows`, or None.
          **settings: Further arguments of `Predictor`.

        Raises:
          UserError: If a checkpoint does not fit its network.
        """
        self.crop_size = None if windows is not None else crop_size
        self.can_turn = all(
            network.architecture(member.spec).can_turn(member.spec) for member in members
        )
        self._make = lambda crop: Predictor(members, crop_size=crop, windows=windows, **settings)
        self._predictors = {}
        self.for_crop(self.crop_size)

    def for_crop(self, crop_size) -> Predictor:
        """Returns the predictor for images that are padded to a crop."""
        if crop_size not in self._predictors:
            self._predictors[crop_size] = self._make(crop_size)
        return self._predictors[crop_size]

    def close(self):
        """Frees the sessions."""
        while self._predictors:
            self._predictors.popitem()[1].close()


class Exported:
    """An exported model; attributes as of `Checkpoints`."""

    can_turn = False

    def __init__(self, model: ExportedModel, crop_size=None):
        """Takes the model.

        Args:
          model: The model.
          crop_size: (height, width) that images must fit into, where the model stores none.
        """
        self._model = model
        self.has_probabilities = model.has_probabilities
        self.crop_size = model.fixed_size or model.crop_size or crop_size
        if model.resizes:
            # It resizes images of any size itself.
            self.crop_size = None

    def for_crop(self, unused_crop_size) -> ExportedModel:
        """Returns the model."""
        return self._model

    def close(self):
        """Frees the session."""
        self._model.close()
