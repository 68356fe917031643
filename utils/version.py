"""The version of this project: the only place that holds it.

`CHANGELOG.md` has a heading for it; `scripts/check_release.py` compares both.
"""

VERSION = "1.0.2"
