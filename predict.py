r"""Segments images: masks, overlays, probabilities and run lengths at the size of each image.

  python predict.py --checkpoint_dir=RUN --input=photos --output_dir=results
  python predict.py --model=network.pb --input=photo.jpg --input='more/*.png' --output_dir=results \
      --save=index,palette,overlay,prob,rle

The options of the network, its sizes and its classes are those that training saved beside the
checkpoint; docs/prediction.md describes the results.
"""

from commands import running

if __name__ == "__main__":
    running.start("predict")
