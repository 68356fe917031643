"""The measures of an evaluation, one file each."""
