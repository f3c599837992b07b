"""Entropies from counts: the fingerprint, every estimator by name, and the estimate they return."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.base import checks
from l2m.base.records import Record, frame
from l2m.errors import InputError

_BIASED = "biased low by "
_USES_ALPHABET = dict(_core.entropy_estimators())

ENTROPY_ESTIMATORS: tuple[str, ...] = tuple(_USES_ALPHABET)
"""Names for `entropy(..., estimator=)`; docs/estimators.md says which to use when."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Estimate(Record):
    """A number with its error.

    Attributes:
        value: the estimate, in `unit`.
        stderr: its standard error from sampling, in `unit`; nan where none is known. Bias is not in it.
        estimator: what computed it.
        coverage: Good-Turing estimate of the probability of the symbols that occurred; nan where it does not apply.
        warning: why not to trust the value, in one sentence; "" where nothing speaks against it.
    """

    kind: ClassVar[str] = "estimate"
    information_fields: ClassVar[tuple[str, ...]] = ("value", "stderr")

    value: float
    stderr: float = float("nan")
    estimator: str = ""
    coverage: float = float("nan")
    warning: str = ""

    def _scaled(self, factor: float) -> dict[str, Any]:
        return {**super()._scaled(factor), "warning": _in_unit(self.warning, self.settings, self.stderr, factor)}

    def _brief(self) -> str:
        return f"{self.value:.4g} ± {self.stderr:.2g} {self.unit}, {self.estimator}" + (
            f"; {self.warning}" if self.warning else ""
        )

    def __float__(self) -> float:
        return float(self.value)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Fingerprint(Record):
    """How many symbols occurred how often: all that an entropy estimator needs. Those of disjoint tables add (`+`).

    Attributes:
        counts: uint64, the occurrences n, ascending, without zero.
        symbols: uint64, of the same length: how many symbols occurred n times.
    """

    kind: ClassVar[str] = "fingerprint"
    axes: ClassVar[Mapping[str, str]] = {"counts": "entries", "symbols": "entries"}

    counts: NDArray[np.uint64]
    symbols: NDArray[np.uint64]

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: arrays of other values or unlike lengths, or counts that do not ascend.
        """
        for name in ("counts", "symbols"):
            values = checks.integers(name, getattr(self, name), low=1)
            object.__setattr__(self, name, values.astype(np.uint64, copy=False))
        if self.counts.size != self.symbols.size or (self.counts[1:] <= self.counts[:-1]).any():
            raise InputError(
                f"counts: {self.counts.size} entries for {self.symbols.size} symbols; expected as many, in ascending order"
            )

    def _brief(self) -> str:
        return f"{self.total:,} samples, {self.distinct:,} symbols, coverage {self.coverage:.3g}"

    @property
    def total(self) -> int:
        """N, the number of samples."""
        return int(self.counts @ self.symbols)

    @property
    def distinct(self) -> int:
        """How many symbols occurred."""
        return int(self.symbols.sum())

    def occurring(self, count: int) -> int:
        """How many symbols occurred exactly `count` times."""
        return int(self.symbols[self.counts == count].sum())

    @property
    def coverage(self) -> float:
        """Probability that the next sample is a symbol seen before (Good-Turing, in the form of Chao and Jost 2012).

        1 - f1/N ((N-1) f1 / ((N-1) f1 + 2 f2)), with f1 and f2 the symbols that occurred once and twice.
        """
        total, once, twice = self.total, self.occurring(1), self.occurring(2)
        if once == 0:
            return 1.0
        if twice == 0:  # the form of the same paper for f2 = 0
            return 1 - once / total * ((total - 1) * (once - 1) / max((total - 1) * (once - 1) + 2, 1))
        return 1 - once / total * ((total - 1) * once / ((total - 1) * once + 2 * twice))

    def __add__(self, other: "Fingerprint") -> "Fingerprint":
        return _fingerprint(np.concatenate([self.counts, other.counts]), np.concatenate([self.symbols, other.symbols]))

    def entropy(self, estimator: str = "grassberger", *, alphabet: int | None = None) -> Estimate:
        """See `l2m.entropy`; in `unit`."""
        return entropy(self, estimator, alphabet=alphabet).to(self.unit)


def fingerprint(counts: ArrayLike | Mapping[Any, int]) -> Fingerprint:
    """The fingerprint of a count table.

    Args:
        counts: non-negative integers of any shape, one a symbol (a mapping: its values). Zeros are ignored.

    Returns:
        The fingerprint; those of disjoint tables add.

    Raises:
        InputError: a negative count, NaN, infinity, a count that is not whole, or a sum of 2^63 or more.

    Example:
        >>> l2m.fingerprint([10, 4, 3, 1, 1])
        Fingerprint(19 samples, 5 symbols, coverage 0.905)
    """
    values, occurrences = np.unique(whole_numbers(counts), return_counts=True)
    return _fingerprint(values, occurrences.astype(np.uint64))


def entropy(
    counts: ArrayLike | Mapping[Any, int] | Fingerprint,
    estimator: str = "grassberger",
    *,
    alphabet: int | None = None,
) -> Estimate:
    """Entropy of the distribution that was sampled, in nats.

    Args:
        counts: how often each symbol occurred, or a fingerprint. Order does not matter, zeros are ignored.
        estimator: one of `l2m.ENTROPY_ESTIMATORS`; "grassberger" is the paper's (section 2).
        alphabet: how many symbols could occur, for the estimators that use it; None: as many as did.

    Returns:
        The estimate, in nats, with its standard error and, where the sample is too small, a warning.

    Raises:
        InputError: no samples, a negative count, NaN, infinity, a count that is not whole, an unknown estimator, or an
            alphabet smaller than the number of symbols that occurred.

    Example:
        >>> l2m.entropy([10, 4, 3, 1, 1])
        Estimate(1.456 ± 0.26 nats, grassberger)
        >>> round(l2m.entropy({'a': 3, 'b': 1}, 'plug-in').value, 4)
        0.5623
    """
    table = counts if isinstance(counts, Fingerprint) else fingerprint(counts)
    if not isinstance(estimator, str):
        raise InputError(f"estimator: {estimator!r}; expected one of {', '.join(ENTROPY_ESTIMATORS)}")
    alphabet = None if alphabet is None else checks.whole("alphabet", alphabet, 1)
    name, value, stderr = _core.entropy(table.counts, table.symbols, estimator, alphabet)
    coverage = table.coverage
    return Estimate(
        value,
        stderr,
        name,
        coverage,
        _warning(name, table.total, table.distinct, stderr, coverage, alphabet),
        settings={"samples": table.total, "distinct": table.distinct, "alphabet": alphabet},
    )


def _warning(name: str, samples: int, distinct: int, stderr: float, coverage: float, alphabet: int | None) -> str:
    """Why the sample is too small for the estimator; "" where it is not."""
    bias = (distinct - 1) / (2 * samples)
    unseen = f"about {100 * (1 - coverage):.0f} % of the probability is in symbols that did not occur"
    if name == "ansb":
        if distinct < 0.9 * samples:
            return f"{distinct} symbols in {samples} samples: ansb holds where almost every symbol occurs once"
        return ""
    if name == "plug-in" and bias > max(stderr, 0.01):
        return _bias_words(bias, stderr, "nats")
    if coverage < 0.9 and not (_USES_ALPHABET[name] and alphabet is not None):
        return f"{unseen}: the value is likely too low" if name != "chao-wang-jost" else f"{unseen}: a lower bound"
    return ""


def _bias_words(bias: float, stderr: float, unit: str) -> str:
    return f"{_BIASED}{bias:.2g} {unit} or more, against a standard error of {stderr:.2g}"


def _in_unit(warning: str, settings: Mapping[str, Any], stderr: float, factor: float) -> str:
    """A warning whose numbers are nats or bits, in the unit that is `factor` times smaller than that of `stderr`."""
    if not warning.startswith(_BIASED):
        return warning
    bias = (settings["distinct"] - 1) / (2 * settings["samples"])  # nats
    bits = factor > 1
    return _bias_words(bias * factor if bits else bias, stderr * factor, "bits" if bits else "nats")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class EntropyTable(Record):
    """Estimates of one entropy side by side.

    Attributes:
        estimators: names.
        value, stderr: (estimators,) in `unit`; nan where the estimator has no value for these counts.
        warnings: one text an estimator, "" where nothing speaks against it.
        coverage: Good-Turing estimate of the probability of the symbols that occurred.
    """

    kind: ClassVar[str] = "entropy table"
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(("estimators", "value", "stderr", "warnings"), "estimators")
    information_fields: ClassVar[tuple[str, ...]] = ("value", "stderr")

    estimators: tuple[str, ...]
    value: NDArray[np.float64]
    stderr: NDArray[np.float64]
    warnings: tuple[str, ...]
    coverage: float

    def _scaled(self, factor: float) -> dict[str, Any]:
        rows = zip(self.warnings, self.stderr, strict=True)
        warnings = tuple(_in_unit(warning, self.settings, stderr, factor) for warning, stderr in rows)
        return {**super()._scaled(factor), "warnings": warnings}

    def _brief(self) -> str:
        return f"{len(self.estimators)} estimators, {np.nanmin(self.value):.4g} to {np.nanmax(self.value):.4g} {self.unit}, coverage {self.coverage:.3g}"

    def to_frame(self) -> Any:
        """pandas DataFrame, one row an estimator."""
        columns = {"value": self.value, "stderr": self.stderr, "warning": list(self.warnings)}
        return frame(columns, ("estimator", self.estimators))

    def __str__(self) -> str:
        rows = zip(self.estimators, self.value, self.stderr, self.warnings, strict=True)
        head = f"{'estimator':<18}{self.unit:>12}{'stderr':>12}"
        return "\n".join([head, *(f"{n:<18}{v:>12.6f}{e:>12.2g}  {w}".rstrip() for n, v, e, w in rows)])


def entropy_table(
    counts: ArrayLike | Mapping[Any, int] | Fingerprint,
    estimators: Sequence[str] = ENTROPY_ESTIMATORS,
    *,
    alphabet: int | None = None,
) -> EntropyTable:
    """Every estimator's entropy of the same counts; arguments as for `entropy`.

    An estimator that is not defined for the counts ("ansb" without coincidences) has nan and says so in its warning.

    Returns:
        One row an estimator.

    Example:
        >>> print(l2m.entropy_table([10, 4, 3, 1, 1], ['plug-in', 'grassberger', 'chao-shen']))
        estimator                 nats      stderr
        plug-in               1.267236        0.17
        grassberger           1.456239        0.26
        chao-shen             1.447441        0.31
    """
    table = counts if isinstance(counts, Fingerprint) else fingerprint(counts)
    rows = []
    for name in estimators:
        try:
            rows.append(entropy(table, name, alphabet=alphabet))
        except InputError as error:
            if name != "ansb" or table.total == 0:
                raise
            rows.append(Estimate(math.nan, math.nan, name, table.coverage, str(error)))
    return EntropyTable(
        tuple(row.estimator for row in rows),
        np.array([row.value for row in rows]),
        np.array([row.stderr for row in rows]),
        tuple(row.warning for row in rows),
        table.coverage,
        settings={"samples": table.total, "distinct": table.distinct, "alphabet": alphabet},
    )


def _fingerprint(counts: NDArray[np.uint64], symbols: NDArray[np.uint64]) -> Fingerprint:
    """Equal counts merged, ascending, zeros left out."""
    counts, where = np.unique(counts, return_inverse=True)
    merged = np.zeros(counts.size, np.uint64)
    np.add.at(merged, where, symbols)
    kept = (counts > 0) & (merged > 0)
    if (counts.astype(float) @ merged.astype(float)) >= 2**63:
        raise InputError("counts: a sum of 2^63 or more; expected fewer samples")
    return Fingerprint(counts[kept], merged[kept])


def whole_numbers(counts: ArrayLike | Mapping[Any, int], name: str = "counts") -> NDArray[np.uint64]:
    """Counts as flat uint64, or an InputError that names the first entry that is not a count."""
    table = checks.plain_array(name, list(counts.values()) if isinstance(counts, Mapping) else counts)
    if table.size == 0:
        return np.zeros(0, np.uint64)
    if table.dtype.kind not in "iuf":
        raise InputError(f"{name}: {checks.dtype_name(table)}; expected non-negative whole numbers")
    flat = table.ravel()
    bad = ~(np.isfinite(flat) & (flat >= 0) & (flat == np.floor(flat)) & (flat < 2.0**63))
    if bad.any():
        where = int(np.flatnonzero(bad)[0])
        raise InputError(f"{name}: {flat[where]} at position {where}; expected non-negative whole numbers below 2^63")
    return flat.astype(np.uint64)
