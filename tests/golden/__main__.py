"""The command `python -m tests.golden MANIFEST.json OUT.npz`."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import sys

import numpy as np

from tests.golden import compare
from utils.errors import OptionError, UserError

HERE = pathlib.Path(__file__).parent


def main(arguments) -> int:
    """Recomputes a manifest, writes the arrays and prints differences; returns the exit status."""
    if len(arguments) != 2:
        print("Usage: python -m tests.golden MANIFEST.json OUT.npz", file=sys.stderr)
        return 2
    source, target = (pathlib.Path(argument) for argument in arguments)
    try:
        manifest = read(source)
        module = importlib.import_module(f"tests.golden.{form(manifest, source)}")
        arrays = module.recompute(manifest, root(source))
    except OptionError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    with open(target, "wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"Wrote {len(arrays)} arrays to {target}.")
    expected = stored(source, manifest, module)
    if expected:
        print(compare.table(arrays, expected))
    else:
        print(f"No stored arrays beside {source} to compare with.")
    return 0


def read(path: pathlib.Path) -> dict:
    """Returns the content of a manifest.

    Raises:
      UserError: If the file is not there or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a manifest: {error}.") from None


def form(manifest: dict, path: pathlib.Path) -> str:
    """Returns the name of the module that recomputes a manifest, below `tests.golden`.

    A manifest in SYSTEM/logits or SYSTEM/train, where SYSTEM is a package of this one, has the form
    of that system; the others are told by their content.

    Raises:
      UserError: If the manifest has none of the known forms.
    """
    kind, system = path.resolve().parent.name, path.resolve().parent.parent.name
    if (HERE / system / f"{kind}.py").exists():
        return f"{system}.{kind}"
    if "config" in manifest:
        return "train" if "train" in manifest["config"] else "logits"
    if "labels_rule" in manifest:
        return "losses"
    if "steps" in manifest and "cases" in manifest:
        return "schedules"
    raise UserError(
        "The manifest has no known form: it needs config (logits, train), labels_rule (losses) or "
        "steps and cases (schedules)."
    )


def root(path: pathlib.Path) -> pathlib.Path:
    """Returns the golden folder: the nearest one above a manifest that holds photos.npz.

    A manifest elsewhere is served by the folder that the environment variable DEEPLAB_GOLDEN names.
    """
    folder = path.resolve().parent
    for candidate in (folder, *folder.parents):
        if (candidate / "photos.npz").exists():
            return candidate
    return pathlib.Path(os.environ.get("DEEPLAB_GOLDEN", folder))


def stored(path: pathlib.Path, manifest: dict, module) -> dict:
    """Returns the stored arrays of a manifest: from the npz file beside it and from itself."""
    arrays = dict(module.stored(manifest)) if hasattr(module, "stored") else {}
    beside = path.with_suffix(".npz")
    if beside.exists():
        with np.load(beside) as file:
            names = getattr(module, "NAMES", {})
            arrays.update({names.get(name, name): file[name] for name in file.files})
    return arrays


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
