"""Images and their masks: pairs by list files, or by sub-folders."""

from __future__ import annotations

import collections
import dataclasses
import os

from absl import logging

import common
from datasets import splits
from datasets.files import archives
from options.config import Config
from utils.errors import OptionError, UserError

# Extensions as people write them, the usual ones first.
_CASES = (str.lower, str.upper, str.title)
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
IMAGE_EXTENSIONS = tuple(case(extension) for case in _CASES for extension in _IMAGES)
MASK_EXTENSIONS = tuple(case(".png") for case in _CASES)

# The flags of `stated_splits`.
SPLIT_FLAGS = ("list_folder", "val_fraction", "split_seed")

# The split that may come without masks: benchmarks keep those of their test images secret.
UNLABELLED_SPLIT = "test"


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image and its mask.

    Attributes:
      name: The name of the record and of results; unique in its split.
      image: Path of the image.
      mask: Path of the mask, or a `mask_files.DrawnMask`; None where a test split has none.
    """

    name: str
    image: str
    mask: object


class Pairs:
    """Finds the files of images and masks in two folders.

    A list entry need not be an existing path: `/data/train/a.png` is found as train/a.* or a.* in
    the folder. A bare name is also searched in a sub-folder named like the split (for masks also
    with the suffix `annot`).
    """

    def __init__(
        self,
        image_folder: str,
        mask_folder: str,
        image_format: str | None = None,
        mask_suffix: str = "",
    ):
        """Takes the folders.

        Args:
          image_folder: The folder of the images.
          mask_folder: The folder of the masks; may be the same.
          image_format: The preferred extension where a name has several.
          mask_suffix: What the names of masks have behind those of their images.

        Raises:
          UserError: If a folder does not exist.
        """
        check_folder(image_folder, "image_folder")
        check_folder(mask_folder, "semantic_segmentation_folder")
        self.image_folder = image_folder
        self.mask_folder = mask_folder
        self._mask_suffix = mask_suffix
        first = f".{image_format}" if image_format else ""
        self._image_extensions = sorted(IMAGE_EXTENSIONS, key=lambda e: e.lower() != first)

    @property
    def origin(self) -> dict:
        """The folders, by their names in `dataset.json`."""
        suffix = {"mask_suffix": self._mask_suffix} if self._mask_suffix else {}
        return {
            "image_folder": self.image_folder,
            "semantic_segmentation_folder": self.mask_folder,
            **suffix,
        }

    def image(self, entry: str, split: str) -> str | None:
        """Returns the path of the image of a list entry, or None."""
        return _find(self.image_folder, _candidates(entry, [split]), self._image_extensions)

    def mask(self, entry: str, split: str) -> str | None:
        """Returns the path of the mask of a list entry, or None."""
        return self._mask(_candidates(entry, [split, f"{split}annot"]))

    def mask_of_image(self, name: str) -> str | None:
        """Returns the path of the mask with the relative path of an image, or None.

        Another folder's mask of the same name may be that of another image.
        """
        return self._mask([os.path.splitext(name)[0]])

    def _mask(self, candidates: list) -> str | None:
        ends = [self._mask_suffix + extension for extension in MASK_EXTENSIONS]
        return _find(self.mask_folder, candidates, ends)

    def below(self, folder: str, mask_folder: str) -> Pairs:
        """Returns the pairs of two other folders, found in the same way."""
        return Pairs(folder, mask_folder, mask_suffix=self._mask_suffix)


def image_format(config: Config) -> str | None:
    """Returns the preferred image format, None if none was given."""
    return config.conversion.image_format if "image_format" in config.given else None


def pairs_of(config: Config) -> Pairs:
    """Returns the pairs of the folders that the options name."""
    options = config.pairs
    return Pairs(
        options.image_folder,
        options.semantic_segmentation_folder,
        image_format(config),
        options.mask_suffix,
    )


def _candidates(entry: str, subfolders: list) -> list:
    """Returns the possible relative paths of an entry, without extension, best first."""
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        return []
    stem, extension = os.path.splitext(parts[-1])
    if extension in IMAGE_EXTENSIONS:
        parts[-1] = stem
    suffixes = [os.path.join(*parts[start:]) for start in range(len(parts))]
    return suffixes + [os.path.join(folder, parts[-1]) for folder in subfolders]


def _find(folder: str, candidates: list, extensions) -> str | None:
    for candidate in candidates:
        for extension in extensions:
            path = os.path.join(folder, candidate + extension)
            if archives.is_file(path):
                return path
    return None


def from_lists(pairs: Pairs, list_folder: str, only: tuple | None) -> dict:
    """Returns split -> samples, one split per SPLIT.txt of a folder.

    Args:
      pairs: Where images and masks are.
      list_folder: Folder of the lists. A line is a name, or the paths of an image and its mask.
      only: The splits to take; None takes all. An empty list is skipped with a warning.

    Raises:
      UserError: If there are no lists, all are empty, or the file of a line is missing.
    """
    check_folder(list_folder, "list_folder")
    lists = {
        name[: -len(".txt")]: os.path.join(list_folder, name)
        for name in archives.names(list_folder)
        if name.endswith(".txt")
    }
    if not lists:
        raise UserError(f"--list_folder={list_folder} has no lists (SPLIT.txt).")
    chosen = choose(lists, only, f"lists of {list_folder}")
    found = {}
    for split, path in chosen.items():
        lines = read_names(path)
        if not lines:
            logging.warning("%s is empty: skipping split %s.", path, split)
            continue
        found[split] = from_lines(pairs, split, path, lines)
    if not found:
        raise UserError(f"{', '.join(chosen.values())}: no images are listed; fill the lists.")
    return found


def from_lines(pairs: Pairs, split: str, path: str, lines: list) -> list:
    """Returns the samples of (line number, text) of a list; raises UserError for missing files."""
    return _samples(pairs, split, [_from_line(pairs, split, path, *line) for line in lines])


def choose(found: dict, only: tuple | None, what: str = "splits") -> dict:
    """Returns the entries of some splits.

    Raises:
      UserError: If one does not exist.
    """
    missing = [split for split in only or () if split not in found]
    if missing:
        raise UserError(
            f"--splits={','.join(only)}: {', '.join(missing)} is not among the {what}: "
            f"{', '.join(found)}."
        )
    return {split: value for split, value in found.items() if only is None or split in only}


def read_names(path: str) -> list:
    """Returns (line number, text) of the lines of a list that are not blank."""
    return [(number, line) for number, line in enumerate(archives.read_lines(path), 1) if line]


def _from_line(pairs: Pairs, split: str, path: str, number: int, line: str) -> tuple:
    """Returns the paths of a line's image and mask (None if missing)."""
    words = line.split()
    # A name may hold blanks.
    for image_entry, mask_entry in ([words] if len(words) == 2 else []) + [[line, line]]:
        image = pairs.image(image_entry, split)
        if image is not None:
            return image, pairs.mask(mask_entry, split)
    raise UserError(
        f"{path}, line {number}: {words[0] if len(words) == 2 else line} has no image (.jpg, .jpeg "
        f"or .png) in --image_folder={pairs.image_folder}; correct the list or the folder."
    )


def from_subfolders(pairs: Pairs, only: tuple | None) -> dict:
    """Returns split -> samples, one split per sub-folder of the image folder.

    The masks of sub-folder SPLIT are in SPLIT, or SPLITannot, of the mask folder, under the names
    of the images. A folder without sub-folders is one split, which `only` must name.

    Raises:
      UserError: If there are no images, or a mask is missing.
    """
    names = [
        name
        for name in archives.names(pairs.image_folder)
        if archives.is_folder(os.path.join(pairs.image_folder, name))
    ]
    # Masks may be in folders next to those of the images: train/, trainannot/.
    folders = {
        name: [os.path.join(pairs.image_folder, name), _mask_subfolder(pairs, name)]
        for name in names
        if _mask_subfolder(pairs, name)
    }
    if not folders and only is not None and len(only) == 1:
        folders = {only[0]: [pairs.image_folder, pairs.mask_folder]}
    if not folders:
        raise UserError(
            f"--image_folder={pairs.image_folder} has no sub-folders with masks of the same name "
            f"in {pairs.mask_folder}; pass --list_folder, or --splits=NAME to make one split of "
            "all images."
        )
    chosen = choose(folders, only, f"sub-folders of {pairs.image_folder}")
    return {
        split: _samples(pairs, split, _from_folders(pairs.below(*folder)))
        for split, folder in chosen.items()
    }


def stated_splits(pairs: Pairs, config: Config) -> tuple | None:
    """Returns the samples of the splits that SPLIT_FLAGS state, and their origin; None for none.

    Raises:
      OptionError: If the flags contradict each other.
      UserError: If a list or an image is missing.
    """
    folder, only, draw = config.pairs.list_folder, config.conversion.splits, config.draw
    if draw.val_fraction is not None:
        if "list_folder" in config.given:
            raise OptionError("--val_fraction and --list_folder both make splits; leave one out.")
        drawn = splits.hold_out(from_folder(pairs), draw.val_fraction, draw.split_seed)
        return choose(drawn, only), {**pairs.origin, **draw.to_dict()}
    common.refuse_given(config.given, ["split_seed"], "without --val_fraction")
    if "list_folder" in config.given:
        return from_lists(pairs, folder, only), {**pairs.origin, "list_folder": folder}
    return None


def from_folder(pairs: Pairs, split: str = "all") -> list:
    """Returns the samples of all images of a folder and its sub-folders, sorted by path."""
    return _samples(pairs, split, _from_folders(pairs))


def _mask_subfolder(pairs: Pairs, name: str) -> str | None:
    for candidate in (name, f"{name}annot"):
        path = os.path.join(pairs.mask_folder, candidate)
        same = os.path.abspath(path) == os.path.abspath(os.path.join(pairs.image_folder, name))
        if archives.is_folder(path) and not same:
            return path
    return None


def _from_folders(pairs: Pairs) -> list:
    names = archives.walk(pairs.image_folder)
    images = [name for name in names if os.path.splitext(name)[1] in IMAGE_EXTENSIONS]
    if not images:
        raise UserError(f"{pairs.image_folder} has no images ({', '.join(_IMAGES)}).")
    if len(images) < len(names):
        others = collections.Counter(
            os.path.splitext(name)[1] or "without extension"
            for name in set(names).difference(images)
        )
        shown = ", ".join(f"{number} {extension}" for extension, number in sorted(others.items()))
        logging.warning("%s: files that are not converted: %s.", pairs.image_folder, shown)
    return [
        (os.path.join(pairs.image_folder, image), pairs.mask_of_image(image)) for image in images
    ]


def _samples(pairs: Pairs, split: str, found: list) -> list:
    """Returns the samples of (image, mask or None) paths."""
    without = [image for image, mask in found if mask is None]
    if without and split == UNLABELLED_SPLIT and len(without) == len(found):
        logging.warning("Split %s has no masks: its records have no labels.", split)
    elif without:
        raise UserError(
            f"{len(without)} of {len(found)} images of split {split} have no mask (.png) in "
            f"--semantic_segmentation_folder={pairs.mask_folder}; the first is {without[0]}."
            f"{_similar(pairs.mask_folder, without[0])}"
        )
    for image, mask in found:
        if image == mask:
            raise UserError(
                f"{image} would be its own mask: images and masks have the same names in one "
                "folder; separate them."
            )
    samples = [Sample(stem(image), image, mask) for image, mask in found]
    check_names(samples, split)
    return samples


def _similar(mask_folder: str, image: str) -> str:
    """Returns a sentence about files that may be the mask of an image; empty if there is none."""
    name = stem(image)
    files = {path: os.path.splitext(os.path.basename(path)) for path in archives.walk(mask_folder)}
    for path, (other, extension) in files.items():
        if extension in MASK_EXTENSIONS and other == name:
            return (
                f" {path} has its name, but lies in another folder: masks lie as their images do."
            )
        if extension in MASK_EXTENSIONS and other.startswith(name):
            return f" If {path} is its mask, pass --mask_suffix={other[len(name) :]}."
    for path, (other, extension) in files.items():
        if other.startswith(name) and extension in IMAGE_EXTENSIONS:
            return f" {path} is not a PNG file: other formats change the class numbers of pixels."
    return ""


def stem(path: str) -> str:
    """Returns a file's name without folder and extension."""
    return os.path.splitext(os.path.basename(path))[0]


def check_names(samples: list, split: str):
    """Raises UserError if two images of a split have the same name."""
    first = {}
    for sample in samples:
        other = first.setdefault(sample.name, sample)
        if other.image != sample.image:
            raise UserError(
                f"two images of split {split} have the same name: {other.image} and "
                f"{sample.image}; rename one."
            )


def check_folder(folder: str, flag: str):
    """Raises UserError if the folder of a flag does not exist."""
    if not archives.is_folder(folder):
        raise UserError(f"--{flag}={folder} is not a folder; pass the one that holds the files.")
