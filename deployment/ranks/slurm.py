"""The lists of hosts that SLURM writes, such as `node[001-003,007],login`."""

from __future__ import annotations

import itertools
import re

from utils.errors import UserError

_TOO_MANY = 65536


def hosts_of(text: str) -> list:
    """Returns the names of the hosts of a list, in its order.

    Args:
      text: Names separated by commas; numbers in brackets stand for one name each, a range keeps
        the width of its first number.

    Raises:
      UserError: If it is no such list.
    """
    found = []
    for word in _words(text):
        parts = re.findall(r"\[([^\[\]]*)\]|([A-Za-z0-9_.-]+)", word)
        choices = [[name] if name else _numbers(numbers, text) for numbers, name in parts]
        found += ["".join(choice) for choice in itertools.product(*choices)]
        if len(found) > _TOO_MANY:
            raise _error(text)
    return found


def _words(text: str) -> list:
    """Returns the parts between the commas that are outside of brackets."""
    name = r"(?:[A-Za-z0-9_.-]+|\[[0-9,-]+\])+"
    if not re.fullmatch(f"{name}(?:,{name})*", text):
        raise _error(text)
    return re.findall(name, text)


def _numbers(text: str, whole: str) -> list:
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise _error(whole)
        first, last = match.group(1), match.group(2) or match.group(1)
        numbers = range(int(first), int(last) + 1)
        if not numbers or len(numbers) > _TOO_MANY:
            raise _error(whole)
        found += [str(number).zfill(len(first)) for number in numbers]
    return found


def _error(text: str) -> UserError:
    return UserError(
        f"SLURM's list of hosts {text!r} cannot be read; see `scontrol show hostnames`."
    )
