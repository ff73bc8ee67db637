"""Inform: warnings that name the line of the user's program that they come from."""

import contextlib
import os
import sys
import sysconfig
import traceback
import warnings

import keras

# None of these directories holds the user's program: gradlog, Keras, Python itself, the libraries.
_GRADLOG_AND_KERAS = os.path.dirname(os.path.dirname(__file__)), os.path.dirname(keras.__file__)
_PYTHON_AND_LIBRARIES = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))
_OTHERS = tuple(os.path.join(path, "") for path in (*_GRADLOG_AND_KERAS, *_PYTHON_AND_LIBRARIES))


def inform(message: str) -> None:
    """Warns, and names the innermost line of the user's program, such as a `fit`.

    Where warnings are errors, the training continues, too.
    """
    with contextlib.suppress(Warning):
        warnings.warn(message, stacklevel=_stacklevel())


def _stacklevel():
    """Returns the `stacklevel` with which a warning in the calling function names the user's line."""
    frames = enumerate((frame for frame, _ in traceback.walk_stack(sys._getframe(1))), 1)
    return next((level for level, frame in frames if _is_users(frame.f_code.co_filename)), 2)


def _is_users(filename):
    return not filename.startswith(_OTHERS) and "__autograph_generated_file" not in filename
