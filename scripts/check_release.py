"""Checks that the changelog is that of a release: `python -m scripts.check_release`.

  python -m scripts.check_release

`utils/version.py` must have the version of the newest heading of CHANGELOG.md, and nothing may
stand above it as unreleased.
"""

from __future__ import annotations

import datetime
import pathlib
import re

import common
from utils.errors import UserError
from utils.version import VERSION

CHANGELOG = pathlib.Path(common.__file__).resolve().parent / "CHANGELOG.md"
UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_RELEASE = re.compile(r"(\d+\.\d+\.\d+), (\d{4}-\d{2}-\d{2})")


def check(text: str, version: str, today: datetime.date):
    """Raises UserError if a changelog is not that of a release.

    Args:
      text: The changelog.
      version: The version of the code, such as "1.0.0".
      today: A release is of this day or an earlier one.
    """
    parts = _HEADING.split(text)[1:]
    headings, bodies = parts[::2], parts[1::2]
    if headings[:1] != [UNRELEASED]:
        raise UserError(f"CHANGELOG.md must begin with '## {UNRELEASED}', for what comes next.")
    if bodies[0].strip():
        raise UserError(
            f"CHANGELOG.md has entries under '## {UNRELEASED}'; put them under a heading "
            "'## VERSION, YYYY-MM-DD', and that version into utils/version.py."
        )
    newest = headings[1] if len(headings) > 1 else ""
    found = _RELEASE.fullmatch(newest)
    if not found:
        raise UserError(
            f"the heading below '## {UNRELEASED}' of CHANGELOG.md is '{newest}', but must be like "
            f"'## {version}, {today}'."
        )
    if found.group(1) != version:
        raise UserError(
            f"CHANGELOG.md is that of version {found.group(1)}, but utils/version.py says "
            f"{version}."
        )
    try:
        day = datetime.datetime.strptime(found.group(2), "%Y-%m-%d").date()
    except ValueError:
        raise UserError(f"{found.group(2)} in CHANGELOG.md is no day.") from None
    if day > today:
        raise UserError(f"version {version} is of {day} in CHANGELOG.md, but today is {today}.")


def main(unused_flag_values):
    """Checks the changelog of this checkout."""
    check(CHANGELOG.read_text(encoding="utf-8"), VERSION, datetime.date.today())
    print(f"CHANGELOG.md and utils/version.py say {VERSION}.")


if __name__ == "__main__":
    common.run(main)
