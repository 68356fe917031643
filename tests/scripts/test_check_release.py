"""A release has one version, in the code and in the changelog."""

import datetime

import pytest

from core.runs import folder
from scripts import check_release
from utils.errors import UserError
from utils.version import VERSION

pytestmark = pytest.mark.once

TODAY = datetime.date(2026, 3, 4)
RELEASED = "# Changelog\n\n## Unreleased\n\n## 1.2.0, 2026-03-04\n\n### Added\n\n- A line.\n"


def test_a_changelog_of_this_version_is_accepted():
    check_release.check(RELEASED, "1.2.0", TODAY)
    check_release.check(RELEASED + "\n## 1.1.0, 2026-01-01\n\n- Old.\n", "1.2.0", TODAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RELEASED.replace("## Unreleased\n\n", ""), "must begin with '## Unreleased'"),
        (RELEASED.replace("Unreleased\n", "Unreleased\n\n- More.\n"), "has entries under"),
        ("# Changelog\n\n## Unreleased\n", "is '', but must be like '## 1.2.0, 2026-03-04'"),
        (RELEASED.replace(", 2026", " (2026"), "must be like"),
        (RELEASED.replace("1.2.0", "1.1.9"), "version 1.1.9, but utils/version.py says 1.2.0"),
        (RELEASED.replace("03-04", "03-05"), "is of 2026-03-05 in CHANGELOG.md, but today"),
        (RELEASED.replace("03-04", "02-30"), "2026-02-30 in CHANGELOG.md is no day"),
    ],
)
def test_other_changelogs_are_refused(text, message):
    with pytest.raises(UserError) as error:
        check_release.check(text, "1.2.0", TODAY)
    assert message in str(error.value)


def test_the_changelog_of_this_checkout_has_a_heading_for_its_version():
    # Entries may stand under Unreleased between two releases.
    text = check_release.CHANGELOG.read_text(encoding="utf-8")
    assert f"\n## {VERSION}, " in text
    assert text.index("## Unreleased") < text.index(f"## {VERSION}, ")


def test_the_version_travels_with_a_run():
    assert folder.versions()["deeplabv3"] == VERSION
