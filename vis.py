r"""Draws the predictions of a split, as the DeepLab family's vis.py does.

  python vis.py --checkpoint_dir=RUN --dataset_dir=DIR --vis_logdir=pictures \
      --also_save_raw_predictions

`segmentation_results/000000_image.png` and `000000_prediction.png` show the first image, and
`raw_segmentation_results/NAME.png` holds its class numbers. For photos there is `predict.py`.
"""

from commands import running

if __name__ == "__main__":
    running.start("visualize")
