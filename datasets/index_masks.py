"""Converts masks with a palette to grey PNG files of class numbers."""

from __future__ import annotations

import os

import common
from datasets.files import archives, mask_files
from datasets.files.defects import BadFileError
from options.data_tools import IndexMasksOptions
from utils import log
from utils.errors import UserError
from utils.files import write_bytes


def main(flag_values):
    """Reads the flags and writes the masks."""
    options = common.from_flags(IndexMasksOptions, flag_values)
    number = remove_palettes(options)
    print(f"{number} masks are in {options.output_dir}.")


def remove_palettes(options: IndexMasksOptions) -> int:
    """Writes each mask of a folder without its palette; returns their number.

    Raises:
      UserError: If the folder has no masks, or one is not a mask of indices.
    """
    folder = options.original_gt_folder
    if not archives.is_folder(folder):
        raise UserError(f"--original_gt_folder={folder} is not a folder; pass that of the masks.")
    names = [name for name in archives.names(folder) if name.endswith(".png")]
    if not names:
        raise UserError(f"--original_gt_folder={folder} has no masks (.png).")
    os.makedirs(options.output_dir, exist_ok=True)
    progress = log.Progress(len(names), "masks")
    try:
        for done, name in enumerate(names, 1):
            _write(os.path.join(folder, name), os.path.join(options.output_dir, name))
            progress.update(done)
    finally:
        progress.close()
    return len(names)


def _write(source: str, target: str):
    try:
        content = mask_files.index_png(source)
    except BadFileError as problem:
        raise UserError(f"{problem}.") from None
    write_bytes(target, content, sync=False)


if __name__ == "__main__":
    common.run(main, IndexMasksOptions)
