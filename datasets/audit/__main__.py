r"""Finds what is wrong with a data set, before hours are spent: `python -m datasets.audit PATH`.

  python -m datasets.audit records/mine
  python -m datasets.audit folders --image_folder=images --semantic_segmentation_folder=masks \
      --class_table=my/classes.json --output_dir=audit

PATH is a folder of records, or a format of `python -m datasets.convert` with its flags: then the
files are looked at as a conversion would, and not converted. Every image is decoded and every pixel
of a label counted. The table is shown; audit.json and audit.html go to the folder of the records,
or to --output_dir. The exit status is 1 if there are problems, 0 if there are warnings at most.
"""

from __future__ import annotations

import json
import os

import common
from datasets import convert, formats
from datasets.audit import readers
from datasets.audit.counts import count
from datasets.audit.findings import PROBLEM, find
from datasets.audit.page import render
from datasets.audit.report import as_json, as_text
from datasets.dataset import Dataset
from options.conversion import AuditOptions, ConvertOptions
from options.data import DataOptions
from utils import log, report, variants
from utils.errors import OptionError, UserError
from utils.files import check_writable, write_text

JSON_FILE = "audit.json"
PAGE_FILE = "audit.html"
# What an audit of records takes of the flags of a conversion.
_FLAGS_OF_RECORDS = ("num_classes", "ignore_label", "splits", "num_workers", "output_dir")
_FLAGS_OF_WRITING = ("num_shards",)


def main(flag_values, path: str):
    """Reads the flags, looks, and writes what it found."""
    options = common.from_flags(ConvertOptions, flag_values)
    audit_options = common.from_flags(AuditOptions, flag_values)
    given = common.given_flags(flag_values)
    folder = options.output_dir if "output_dir" in given else None
    data = open_data(path, options, audit_options, given)
    findings = run(data, folder or _default_folder(path, options), audit_options, options)
    problems = sum(finding.level == PROBLEM for finding in findings)
    if problems:
        what = "1 problem was" if problems == 1 else f"{problems} problems were"
        raise UserError(f"{what} found in {path}; {JSON_FILE} names every case.")


def _default_folder(path: str, options: ConvertOptions) -> str:
    return path if os.path.isdir(path) else options.output_dir


def open_data(path: str, options: ConvertOptions, audit_options: AuditOptions, given: frozenset):
    """Returns `readers.Records` or `Files`; reads no images.

    Raises:
      OptionError: If options contradict each other or have no effect.
      UserError: If there is nothing to look at.
    """
    for name in _FLAGS_OF_WRITING:
        if name in given:
            raise OptionError(f"--{name} has no effect on an audit, which writes no records.")
    known = variants.collect(formats)
    if os.path.isdir(path):
        return _open_records(path, options, audit_options, given)
    if path not in known:
        raise UserError(
            f"{path} is neither a folder of records nor a format of files to convert "
            f"({', '.join(sorted(known))}); pass one of them."
        )
    if "dataset" in given:
        raise OptionError("--dataset is for records without a dataset.json; leave it out.")
    return readers.Files(path, convert.plan(path, options, given))


def _open_records(path: str, options, audit_options: AuditOptions, given: frozenset):
    own = set(ConvertOptions().to_dict())
    useless = (given & own) - set(_FLAGS_OF_RECORDS)
    if useless:
        raise OptionError(
            f"--{sorted(useless)[0]} has no effect on records, which are converted already; leave "
            "it out, or name a format in place of their folder."
        )
    values = {
        "dataset_dir": path,
        "num_classes": options.num_classes,
        "ignore_label": options.ignore_label,
    }
    if audit_options.dataset is not None:
        values["dataset"] = audit_options.dataset
    described = Dataset.open(DataOptions(**values), given).description
    return readers.Records(path, described, options.splits)


def run(data, folder: str, audit_options: AuditOptions, options: ConvertOptions) -> list:
    """Looks at everything; returns what was found.

    Args:
      data: `readers.Records` or `Files`.
      folder: Where audit.json and audit.html go.
      audit_options: What the page shows.
      options: Its --num_workers.

    Raises:
      UserError: If the folder cannot be written.
    """
    report.check_available()
    check_writable(folder, "--output_dir")
    counts = count(data, options.num_workers)
    findings = find(data, counts, audit_options.near_duplicates)
    log.message(as_text(data, counts, findings))
    content = json.dumps(as_json(data, counts, findings), indent=1)
    write_text(os.path.join(folder, JSON_FILE), content + "\n")
    page = render(data, counts, findings, audit_options.num_samples)
    write_text(os.path.join(folder, PAGE_FILE), page)
    log.message(f"{os.path.join(folder, PAGE_FILE)} shows it with pictures.")
    return findings


if __name__ == "__main__":
    common.run(main, ConvertOptions, AuditOptions, positional=("PATH",))
