r"""Converts images and masks to TFRecords: `python -m datasets.convert FORMAT --flags`.

  python -m datasets.convert voc_aug --voc_root=VOCtrainval_11-May-2012.tar \
      --aug_folder=SegmentationClassAug.zip --trainaug_list=trainaug.txt --output_dir=tfrecord

  python -m datasets.convert folders --image_folder=CamVid --semantic_segmentation_folder=CamVid \
      --list_folder=CamVid --class_table=datasets/tables/camvid.json --output_dir=camvid

FORMAT is a module of datasets/formats; docs/data.md has a command for each. A `dataset.json` beside
the records describes them. All files are checked before one is put in place; a conversion that
fails or is interrupted leaves the output folder as it was. Splits can be added later.
"""

from commands import running

if __name__ == "__main__":
    running.start("convert")
