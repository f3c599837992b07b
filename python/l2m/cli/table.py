"""Tables of numbers from text files."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_lines(file: Path) -> list[str]:
    """Lines of a UTF-8 text file.

    Raises:
        InputError: no such file, or not UTF-8.
    """
    from l2m.errors import InputError

    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is not UTF-8; expected text") from None


def cells(line: str) -> list[str]:
    """Fields of a line: split at commas or semicolons, tabs, or spaces, whichever of them comes first in this order."""
    for separator in (",", ";", "\t"):
        if separator in line:
            return [cell.strip().strip('"') for cell in line.split(separator)]
    return line.split()


def read_table(file: Path) -> "dict[str, NDArray[np.float64]]":
    """Columns by name ("1", "2", ... without a line of names); empty lines and lines after # are skipped.

    Raises:
        InputError: no such file, no rows, or a line that does not hold as many numbers as the others.
    """
    import numpy as np

    from l2m.errors import InputError

    names: list[str] | None = None
    rows: list[list[float]] = []
    for number, line in enumerate(read_lines(file), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = cells(line)
        try:
            values = [float(field) for field in fields]
        except ValueError:
            if rows or names is not None:
                raise InputError(f"{file}: line {number} holds {line.strip()[:60]!r}; expected numbers") from None
            names = fields
            continue
        width = len(names) if names is not None else len(rows[0]) if rows else len(values)
        if len(values) != width:
            raise InputError(f"{file}: line {number} holds {len(values)} numbers; expected {width}")
        rows.append(values)
    if not rows:
        raise InputError(f"{file}: no rows of numbers; expected a table")
    columns = np.array(rows).T
    return dict(zip(names or [str(k + 1) for k in range(len(columns))], columns, strict=True))
