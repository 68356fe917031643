"""What differs between two runs of a benchmark, and what of it is more than noise.

The rule: a figure has changed if the repetitions of the two runs lie apart, with a gap of more than
half the wider run's spread between them, and its medians differ by `SMALLEST_CHANGE` or more. For
values of one normal distribution a gap like that comes up in 2.3 % of the pairs with three
repetitions each, 0.3 % with four, 0.04 % with five; fewer than three say nothing. The smallest
change stands for what repetitions within one process cannot show: where memory lies, which core
runs what.

The rule knows nothing of a machine that is slower for minutes. Ratios of figures of the same run
do: they are compared even between machines, figures only where processor, cores and options are
equal.
"""

from __future__ import annotations

import json

from benchmarks import measure
from utils.errors import UserError

# Grows when older files would be misread.
SCHEMA = 1
FEWEST_REPETITIONS = 3
GAP_IN_SPREADS = 0.5
SMALLEST_CHANGE = 0.03

WITHIN, FASTER, SLOWER, TOO_FEW = "within the noise", "FASTER", "SLOWER", "too few repetitions"


def larger_is_better(unit: str) -> bool:
    """Returns whether a larger figure of this unit is the better one."""
    return unit == "ratio" or unit.endswith("/s")


def load(path: str, what: str) -> dict:
    """Reads the file of an earlier run.

    Args:
      path: The file.
      what: The benchmark that it must be of.

    Raises:
      UserError: If it cannot be read, or is of something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"--compare={path} cannot be read ({error}).") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(
            f"--compare={path} is no file of a benchmark of this version; measure it again with "
            "--json_path."
        )
    if content["what"] != what:
        raise UserError(f"--compare={path} is of {content['what']}, not of {what}.")
    return content


def verdict(before: dict, now: dict) -> str:
    """Returns whether a figure changed by more than the noise, by the rule above.

    Args:
      before: The figure of the earlier run: `unit`, `median`, `lowest`, `highest`, `values`.
      now: The same figure of this run.
    """
    if min(len(before["values"]), len(now["values"])) < FEWEST_REPETITIONS:
        return TOO_FEW
    gap = max(now["lowest"] - before["highest"], before["lowest"] - now["highest"])
    spread = max(one["highest"] - one["lowest"] for one in (before, now))
    if gap <= GAP_IN_SPREADS * spread or abs(change(before, now)) < SMALLEST_CHANGE:
        return WITHIN
    is_larger = now["median"] > before["median"]
    return FASTER if is_larger == larger_is_better(now["unit"]) else SLOWER


def change(before: dict, now: dict) -> float:
    """Returns by which part of itself the median changed."""
    return now["median"] / before["median"] - 1.0


def differences(before: dict, now: dict) -> dict:
    """Returns `machine` and `options` -> sentences of what differs between the runs.

    An option that only one of them knows is none: flags come and go.
    """
    return {
        "machine": _differing(before["machine"], now["machine"], ("processor", "cores")),
        "options": _differing(
            before["options"],
            # As a file would give it back.
            json.loads(json.dumps(now["options"])),
            [name for name in now["options"] if name in before["options"]],
            "--",
        ),
    }


def _differing(before: dict, now: dict, names, dashes: str = "") -> list:
    return [
        f"{dashes}{name} was {before[name]}, is {now[name]}"
        for name in names
        if before[name] != now[name]
    ]


def compared(before: dict, now: dict) -> list:
    """Returns a row for each figure that both runs have: name, unit, medians, change, verdict."""
    comparable = not any(differences(before, now).values())
    rows = []
    for kind in ("rows", "ratios") if comparable else ("ratios",):
        earlier = {row["name"]: row for row in before[kind]}
        for row in now[kind]:
            old = earlier.get(row["name"])
            if old is None or old["unit"] != row["unit"]:
                continue
            rows.append(
                {
                    "name": row["name"],
                    "unit": row["unit"],
                    "before": old["median"],
                    "now": row["median"],
                    "change %": 100.0 * change(old, row),
                    "verdict": verdict(old, row),
                }
            )
    return rows


def text(path: str, before: dict, now: dict) -> str:
    """Returns the comparison in words and a table."""
    lines = [f"Against {path}, of {before['time']}: {measure.in_words(before)}"]
    for kind, found in differences(before, now).items():
        if found:
            lines.append(f"!!! OTHER {kind.upper()}: {'; '.join(found)}. Only ratios are compared.")
    rows = compared(before, now)
    table = measure.table(rows) if rows else "Nothing can be compared."
    return "\n".join([*lines, "", table, "", *_absent(before, now), summary(rows)])


def summary(rows: list) -> str:
    """Returns which of the compared figures lie outside the noise, as a sentence."""
    outside = [row for row in rows if row["verdict"] in (FASTER, SLOWER)]
    if not outside:
        return f"Outside the noise: none of {len(rows)}."
    named = "; ".join(
        f"{row['name']} ({row['unit']}) {row['verdict']}, {row['change %']:+.1f} %"
        for row in outside
    )
    said = f"Outside the noise: {len(outside)} of {len(rows)}: {named}."
    ratios = [row for row in rows if row["unit"] == "ratio"]
    if ratios and not any(row in outside for row in ratios):
        said += " No ratio is, as when the machine itself is faster or slower."
    return said


def _absent(before: dict, now: dict) -> list:
    """Returns a sentence for what only one of the runs has."""
    names = [
        {row["name"] for kind in ("rows", "ratios") for row in run[kind]} for run in (before, now)
    ]
    sides = (("Only before", names[0] - names[1]), ("Only now", names[1] - names[0]))
    return [f"{side}: {', '.join(sorted(found))}." for side, found in sides if found]
