r"""Finds what is wrong with a data set before training does: `python -m datasets.audit PATH`.

  python -m datasets.audit records/mine
  python -m datasets.audit folders --image_folder=images --semantic_segmentation_folder=masks \
      --class_table=my/classes.json --output_dir=audit

PATH is a folder of records, or a format of `python -m datasets.convert` with its flags: then the
files are read as a conversion would read them, but not converted. Every image is decoded and every
label pixel counted. The result is printed; audit.json and audit.html are written to the folder of
the records, or to --output_dir. The exit status is 1 if there are problems, 0 for warnings alone.
"""

from commands import running

if __name__ == "__main__":
    running.start("audit")
