"""The version of this project, in this place only.

`CHANGELOG.md` has a heading for it; `scripts/check_release.py` compares both.
"""

VERSION = "1.0.2"
