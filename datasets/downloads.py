"""The downloads of `datasets.fetch`: addresses, sizes and checksums.

The publishers state no checksums. Those of VOC and SBD are the ones that torchvision verifies,
those of COCO the ones of PaddleDetection and of downloaders for Detectron2; several public sources
agree on each. There are no published checksums of TensorFlow's checkpoints.
"""

from __future__ import annotations

import dataclasses
import posixpath


@dataclasses.dataclass(frozen=True)
class Download:
    """A file to download.

    Attributes:
      url: Its address.
      size_text: Its size, for people.
      md5: Its MD5 checksum; None if there is no published one.
    """

    url: str
    size_text: str
    md5: str | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return posixpath.basename(self.url)

    @property
    def checked_by(self) -> str:
        """How a complete download was verified."""
        if self.md5 is None:
            return "complete by its length; there is no published checksum"
        return f"MD5 {self.md5} verified"


_VOC = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_SBD = "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
_COCO = "http://images.cocodataset.org/"
_MODELS = "http://download.tensorflow.org/models/"

DOWNLOADS = {
    "voc2012": (
        Download(
            f"{_VOC}VOCtrainval_11-May-2012.tar", "2.0 GB", "6cd6e144f989b92b3379bac3b3de84fd"
        ),
    ),
    "sbd": (Download(f"{_SBD}benchmark.tgz", "1.4 GB", "82b4d87ceb2ed10f6038a1cba92111cb"),),
    "coco2017": (
        Download(
            f"{_COCO}annotations/annotations_trainval2017.zip",
            "241 MB",
            "f4bbac642086de4f52a3fdda2de5fa2c",
        ),
        Download(f"{_COCO}zips/val2017.zip", "778 MB", "442b8da7639aecaf257c1dceb8ba8c80"),
        Download(f"{_COCO}zips/train2017.zip", "18 GB", "cced6f7f71b7629ddf16f17bbcfab6b2"),
    ),
    # Backbones trained on ImageNet; sizes as DeepLab's model zoo states them.
    "resnet_v1_50_beta": (Download(f"{_MODELS}resnet_v1_50_2018_05_04.tar.gz", "274 MB"),),
    "resnet_v1_101_beta": (Download(f"{_MODELS}resnet_v1_101_2018_05_04.tar.gz", "477 MB"),),
    "resnet_v1_50": (Download(f"{_MODELS}resnet_v1_50_2016_08_28.tar.gz", "size not stated"),),
    "resnet_v1_101": (Download(f"{_MODELS}resnet_v1_101_2016_08_28.tar.gz", "size not stated"),),
    "xception_41": (Download(f"{_MODELS}xception_41_2018_05_09.tar.gz", "288 MB"),),
    "xception_65": (Download(f"{_MODELS}deeplabv3_xception_2018_01_04.tar.gz", "447 MB"),),
    "xception_71": (Download(f"{_MODELS}xception_71_2018_05_09.tar.gz", "474 MB"),),
}

WITH_LOGIN = {
    "cityscapes": (
        "www.cityscapes-dataset.com gives leftImg8bit_trainvaltest.zip (11 GB) and "
        "gtFine_trainvaltest.zip (241 MB) after registration, under its licence."
    ),
    "ade20k": (
        "sceneparsing.csail.mit.edu gives ADEChallengeData2016.zip under its own terms, which must "
        "be accepted there."
    ),
    "imagenet": "image-net.org gives it after registration.",
    "trainaug": (
        "SegmentationClassAug and trainaug.txt circulate without an official download; the format "
        "voc_aug makes the same split of voc2012 and sbd (--sbd_folder)."
    ),
}
