"""Repair: `gradlog repair MODEL.keras DATA.npz` tries changes to a saved model, and saves the one that helps."""

import os
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np

from gradlog.commands import console
from gradlog.commands.selection import CommandError

_PAIRS = (("x", "y"), ("x_train", "y_train"))
_HELD_OUT = (("x_val", "y_val"), ("x_validation", "y_validation"), ("x_test", "y_test"))
_SAVED = (".keras", ".h5")


def check(output: str | None) -> None:
    """Raises `CommandError` where the repaired model could not be saved."""
    if output is None:
        return
    path = Path(output)
    if path.suffix not in _SAVED:
        raise CommandError(f"expected a file that ends in .keras or .h5, received {output!r}")
    if not path.parent.is_dir():
        raise CommandError(f"cannot save {path.name!r}: directory {str(path.parent)!r} does not exist")


def run(model_file: str, data_file: str, output: str | None, as_json: bool, **options) -> None:
    """Repairs a saved model, prints the report, and saves the changed model where it was repaired.

    Args:
        model_file: String, a compiled Keras model that was saved.
        data_file: String, a `.npz` file with arrays `x` and `y`, or `x_train` and `y_train`; with `x_val` and `y_val`
            as well, these are held out.
        output: String, where to save the model, or `None`.
        as_json: Boolean, whether to print only JSON.
        options: Further arguments of `gradlog.repair`.

    Raises:
        CommandError: One of the files cannot be read, or the model cannot be repaired.
    """
    x, y, held_out = _data(data_file)
    model = _model(model_file)
    from gradlog.repair.repair import REPAIRED, repair

    try:
        shows_bar = sys.stdout.isatty() and not as_json
        found = repair(model, x, y, validation_data=held_out, verbose=int(shows_bar), **options)
    except (ValueError, TypeError) as error:
        raise CommandError(f"{model_file!r} cannot be repaired: {error}") from error
    is_saved = output is not None and found.verdict == REPAIRED
    if is_saved:
        found.model.save(output)
    if as_json:
        print(console.json_text({**found.to_dict(), "file": output if is_saved else None}))
        return
    print(found)
    if output is not None:
        print(f"\nWrote {output}" if is_saved else f"\nDid not write {output}: {found.verdict}")


def _data(data_file):
    """Returns x, y and the pair held out, or `None`."""
    if not os.path.exists(data_file):
        raise CommandError(f"{data_file!r} does not exist; expected a .npz file of arrays x and y, from numpy.savez")
    try:
        with np.load(data_file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise CommandError(
            f"{data_file!r} is not a .npz file of arrays; write one with numpy.savez ({error})"
        ) from error
    pair = next((names for names in _PAIRS if found.keys() >= {*names}), None)
    if pair is None:
        raise CommandError(f"expected arrays x and y in {data_file!r}, received: {', '.join(found) or 'none'}")
    held_out = next((names for names in _HELD_OUT if found.keys() >= {*names}), None)
    return *(found[name] for name in pair), None if held_out is None else tuple(found[name] for name in held_out)


def _model(model_file):
    if not os.path.exists(model_file):
        raise CommandError(f"model file {model_file!r} does not exist")
    import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the optimizer's state, which trainings do not start with
            model = keras.models.load_model(model_file)
    except Exception as error:  # Keras raises many kinds, as for custom classes
        raise CommandError(f"Keras cannot load {model_file!r}: {error}") from error
    if getattr(model, "loss", None) is None:
        raise CommandError(f"the model in {model_file!r} is not compiled; save it after model.compile(...)")
    return model
