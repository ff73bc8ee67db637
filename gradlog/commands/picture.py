"""Picture: a Matplotlib figure that a notebook shows, whatever its Matplotlib backend is."""

import io

from matplotlib.figure import Figure

_DOTS_PER_INCH = 80  # as wide as a notebook's cell


class Picture(Figure):
    """A Matplotlib figure, which a notebook shows as PNG."""

    def _repr_png_(self):
        canvas = io.BytesIO()
        self.savefig(canvas, format="png", dpi=_DOTS_PER_INCH)
        return canvas.getvalue()
