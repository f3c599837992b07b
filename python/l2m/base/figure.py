"""The figure that `l2m` draws into: shown by notebooks without pyplot or a magic. Imports matplotlib; `plots` imports this late."""

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that is an image where a cell ends in it; matplotlib's own is text there unless pyplot was imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()
