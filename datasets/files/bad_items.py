"""What to do with entries of a file, or files of a folder, that cannot be used."""

from __future__ import annotations

from absl import logging

from utils.errors import UserError

FAIL, SKIP = POLICIES = ("fail", "skip")

# As many are named; the others are counted.
MOST_SHOWN = 20


class BadItems:
    """Collects what cannot be used of one file, so that one bad entry does not hide the others."""

    def __init__(self, where: str, policy: str):
        """Starts without any.

        Args:
          where: The file, as messages call it.
          policy: FAIL or SKIP, the value of --on_bad_item.
        """
        self._where = where
        self._policy = policy
        self._texts = []

    def add(self, text: str):
        """Adds an entry that is left out; the text says which, and what is wrong."""
        self._texts.append(text)

    def close(self):
        """Reports all of them.

        Raises:
          UserError: If there are any, and the policy is to fail.
        """
        if not self._texts:
            return
        text = f"{self._where}: {summary(self._texts, 'entries')}"
        if self._policy == FAIL:
            raise UserError(f"{text}\n--on_bad_item=skip leaves them out.")
        logging.warning("%s", text)


def summary(texts: list, what: str) -> str:
    """Returns how many of them cannot be used, and the first ones, a line each."""
    lines = "".join(f"\n  {text}" for text in texts[:MOST_SHOWN])
    more = f"\n  and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else ""
    return f"{len(texts)} {what} cannot be used:{lines}{more}"
