from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Literal

from l2m.cli.output import plain, print_result


def entropy(
    file: Path,
    *,
    content: Literal["auto", "text", "numbers", "counts"] = "auto",
    symbols: Literal["characters", "bytes", "words"] = "characters",
    estimator: str = "all",
    alphabet: int | None = None,
    unit: Literal["nats", "bits"] = "nats",
    blocks: int | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Entropy of the symbols in a file, by every estimator or one.

    Examples
    --------
    l2m entropy book.txt --symbols words --unit bits
    cut -f 2 table.tsv | l2m entropy - --content counts

    Parameters
    ----------
    file
        A text (- for standard input), a column of numbers (each a sample), or a count table (the count last in each line).
    content
        What the file is. auto: numbers where every line is one number; counts where every line ends in a whole number after
        another field; else text.
    symbols
        Of a text.
    estimator
        One by name, or all.
    alphabet
        How many symbols could occur. Default: as many as do.
    unit
        nats or bits.
    blocks
        Also the entropies of blocks of 1 to this many successive symbols, and the entropy rate.
    out
        JSON file to write: a record that l2m.load reads.
    json
        Print the result as one JSON object.
    """
    from l2m.errors import InputError
    from l2m.statistics.entropy import ENTROPY_ESTIMATORS, entropy_table, fingerprint

    kind, samples, counts = _read(file, content, symbols)
    names = ENTROPY_ESTIMATORS if estimator == "all" else (estimator,)
    table = entropy_table(fingerprint(counts), names, alphabet=alphabet).to(unit)
    result = {
        "content": kind,
        "symbols": symbols if kind == "text" else kind,
        "samples": table.settings["samples"],
        "distinct": table.settings["distinct"],
        "coverage": table.coverage,
        "unit": unit,
        "entropy": {
            name: {"value": plain(value), "stderr": plain(stderr), "warning": warning}
            for name, value, stderr, warning in zip(
                table.estimators, table.value, table.stderr, table.warnings, strict=True
            )
        },
    }
    words = [
        f"{file}: {kind}, {result['samples']:,} samples of {result['distinct']:,} symbols; coverage {table.coverage:.4f}",
        str(table),
    ]
    if blocks is not None:
        if samples is None:
            raise InputError(f"--blocks: {file} holds counts; expected a text or numbers, in order")
        from l2m.statistics.joint_entropy import block_entropies

        series = block_entropies(_numbered(samples), blocks, names[0]).to(unit)
        columns = ("block", "block_stderr", "rate", "rate_stderr", "coverage")
        result["blocks"] = {column: getattr(series, column).tolist() for column in columns} | {"excess": series.excess}
        words.append(f"{'n':>3}{'H_n':>12}{'h_n':>12}{'coverage':>10}   ({series.settings['estimator']})")
        rows = zip(series.n, series.block, series.rate, series.coverage, strict=True)
        words += [f"{n:>3}{height:>12.5f}{rate:>12.5f}{covered:>10.3f}" for n, height, rate, covered in rows]
        words.append(f"excess entropy to this order: {series.excess:.5f} {unit}")
    if out is not None:
        table.save(out)
    print_result(result, json, "\n".join(words))


def _read(file: Path, content: str, symbols: str) -> tuple[str, Sequence[Hashable] | None, list[int]]:
    """(what the file is, its samples in order or None, how often each symbol occurred)."""
    from decimal import Decimal

    from l2m.cli.table import cells, decoded, is_number, lines_of, read_bytes
    from l2m.errors import InputError

    raw = read_bytes(file)
    if content == "text" and symbols == "bytes":
        return "text", *_counted(raw)
    text = decoded(file, raw)
    lines = [line for line in lines_of(text) if line.strip()]
    if content == "auto":
        fields = [cells(line) for line in lines]
        body = fields[1:] if len(fields) > 1 and _is_header(fields[0]) else fields
        if body and all(len(row) == 1 and is_number(row[0]) for row in body):
            content = "numbers"
        elif body and all(len(row) > 1 and _is_count(row[-1]) for row in body):
            content = "counts"
        else:
            content = "text"
    if content == "text":
        if symbols == "bytes":
            return "text", *_counted(raw)
        return "text", *_counted(text.split() if symbols == "words" else text)
    fields = [cells(line) for line in lines]
    values = [row[-1] for row in (fields[1:] if fields and _is_header(fields[0]) else fields)]
    bad = next((value for value in values if not is_number(value)), None)
    if bad is not None:
        raise InputError(f"{file}: {bad!r} among the {content}; expected numbers")
    if content == "numbers":
        return "numbers", *_counted([Decimal(value) for value in values])  # floats merge integers beyond 2^53
    bad = next((value for value in values if not _is_count(value)), None)
    if bad is not None:
        raise InputError(f"{file}: a count of {bad}; expected non-negative whole numbers below 2^63")
    return "counts", None, [int(Decimal(value)) for value in values]


def _is_header(fields: list[str]) -> bool:
    """Whether a first line holds names."""
    from l2m.cli.table import is_name

    return is_name(fields[-1])


def _is_count(field: str) -> bool:
    from decimal import Decimal

    from l2m.cli.table import is_number

    if not is_number(field):
        return False
    value = Decimal(field)
    return 0 <= value < 2**63 and value == value.to_integral_value()


def _counted(samples: Sequence[Hashable]) -> tuple[Sequence[Hashable], list[int]]:
    return samples, list(Counter(samples).values())


def _numbered(samples: Sequence[Hashable]) -> list[int]:
    """Each sample as the number of its symbol, in order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(sample, len(numbers)) for sample in samples]
