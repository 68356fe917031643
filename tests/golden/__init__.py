"""Recomputes the stored numbers of the reference: `python -m tests.golden MANIFEST.json OUT.npz`.

One module per form of manifest (logits, train, losses, schedules); `rules` makes weights, images
and labels from names and seeds, `compare` prints differences. Each form's module offers

- `recompute(manifest, folder) -> dict`: array name -> numpy array, the names as stored. `manifest`
  is the parsed JSON file, `folder` a `pathlib.Path`, the root of the golden data, where photos and
  dense prediction cells are looked up.
- `stored(manifest) -> dict`, optional: the arrays whose stored values stand in the manifest itself
  instead of in the npz file beside it.
- `NAMES`, optional: name in the npz file -> the name under which `recompute` gives the array.

The networks of other systems have packages of their own with the same two forms, such as
`abeja/logits.py`; the folders above a manifest (`abeja/logits/`) choose the module.
"""
