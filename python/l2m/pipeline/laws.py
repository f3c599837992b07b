"""The shipped table of laws: for each domain the exponents measured, their curves, and the commands that measure them again.

A row is `law_rows/NAME.json` beside this file, a record like any other. A law is named after its row wherever a law is given:
`l2m condition books MODEL`, `l2m.condition(l2m.law("books"), ...)`.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base.records import Record
from l2m.errors import InputError
from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]

_ROWS = Path(__file__).with_name("law_rows")
QUANTITIES = {"bipartite": "beta", "two-point": "alpha", "entropy": "gamma"}
"""What was measured -> the exponent: I(L) ~ L^beta, I(d) ~ d^-alpha, H_n - H_inf ~ n^-gamma."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LawCurve(Record):
    """One curve of a domain and the law through it.

    Attributes:
        quantity: "bipartite", "two-point" or "entropy".
        estimator: how it was estimated.
        x: length L, distance d or position n, (points,).
        information: I(L), I(d), or the entropy H_n of the next token, nats, (points,).
        stderr: its standard errors, (points,); nan where there are none.
        law: the power law; None where none holds, or its exponent may be 0.
        exponent, low, high: beta, alpha or gamma, positive, with the 95 % interval of sampling; nan without a law.
        words: the law, or why there is none, in a sentence.
        compared: which curves describe the points: the verdict of `l2m.compare_curves`; "" where too few points are there.
        commands: what makes it again, in order; OUT stands for a folder to write, CORPUS for the row's files where l2m does not
            write them. `settings["result"]` is what they leave in OUT.
        date: when it was measured, ISO.
    """

    kind: ClassVar[str] = "law curve"
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(("x", "information", "stderr"), "points")
    information_fields: ClassVar[tuple[str, ...]] = ("information", "stderr")

    quantity: str
    estimator: str
    x: Floats
    information: Floats
    stderr: Floats
    law: PowerLaw | None
    exponent: float
    low: float
    high: float
    words: str
    compared: str
    commands: tuple[str, ...]
    date: str

    def _brief(self) -> str:
        return f"{self.quantity}: {self.interval_words}, {self.range_words}"

    @property
    def interval_words(self) -> str:
        """`alpha = 0.50 (0.46 to 0.53)`, or `no law`."""
        if not np.isfinite(self.exponent):
            return "no law"
        ends = f" ({self.low:.2f} to {self.high:.2f})" if self.low < self.high else " (exact)"
        return f"{QUANTITIES[self.quantity]} = {self.exponent:.2f}{ends}"

    @property
    def fitted(self) -> Floats:
        """The x that the law was fitted to; all where there is none."""
        return self.x if self.law is None or self.law.given else self.law.x

    @property
    def range_words(self) -> str:
        """The x that the law was fitted to, or that were measured."""
        symbol = {"bipartite": "L", "two-point": "d", "entropy": "n"}[self.quantity]
        return f"{symbol} = {self.fitted.min():,.0f} to {self.fitted.max():,.0f}"

    def agrees(self, other: "LawCurve") -> bool:
        """Whether another measurement of the same source agrees: their intervals overlap, or neither follows a law."""
        resolved = np.isfinite(self.exponent), np.isfinite(other.exponent)
        if not all(resolved):
            return not any(resolved)
        # The last digits of an exact law depend on the machine.
        slack = 1e-6 * abs(self.exponent)
        return self.low <= other.high + slack and other.low <= self.high + slack


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LawRow(Record):
    """A domain of the shipped table.

    Attributes:
        name: as commands take it.
        domain: in words.
        corpus: "name", "hash", "licence", "source", "documents", "bytes", as far as they apply.
        tokens: how many were counted or scored from.
        token: what one is ("SmolLM2 tokens", "bytes", "notes", "spins").
        model: "name" and its NLL, "nats per token" and, of a text, "nats per byte"; empty where no model was asked.
        curves: one for each quantity measured.
        identity: information at the longest d that is left when tokens are shuffled within documents, nats; nan if not measured.
        across: that between tokens of different documents, there: a check of the null.
        duplicates: documents left out as near-duplicates; None if not asked.
        note: what to know before quoting.
    """

    kind: ClassVar[str] = "law row"
    information_fields: ClassVar[tuple[str, ...]] = ("identity", "across")

    name: str
    domain: str
    corpus: Mapping[str, Any]
    tokens: int
    token: str
    model: Mapping[str, Any]
    curves: tuple[LawCurve, ...]
    identity: float
    duplicates: int | None
    note: str
    across: float = np.nan

    def curve(self, quantity: str = "bipartite") -> LawCurve:
        """The curve of a quantity.

        Raises:
            InputError: another quantity, or one that was not measured here.
        """
        if quantity not in QUANTITIES:
            raise InputError(f"quantity: {quantity!r}; expected one of {', '.join(QUANTITIES)}")
        for curve in self.curves:
            if curve.quantity == quantity:
                return curve
        raise InputError(
            f"law: {self.name} has no {quantity} curve; it has {', '.join(c.quantity for c in self.curves)}"
        )

    def _brief(self) -> str:
        return f"{self.name}: {', '.join(curve.interval_words for curve in self.curves)}"

    def explain(self) -> str:
        """The row in words: each law, what else describes its points, its commands; the corpus; what to know before quoting."""
        lines = [
            f"{self.name}: {self.domain}",
            f"  corpus: {'; '.join(f'{key} {value}' for key, value in self.corpus.items())}",
        ]
        copies = "" if self.duplicates is None else f"; {self.duplicates} near-duplicates left out"
        lines.append(f"  {self.tokens:,} {self.token}{copies}")
        levels = ((self.identity, "shuffled within documents"), (self.across, "across documents"))
        if known := [f"{level:.2g} nats {words}" for level, words in levels if np.isfinite(level)]:
            lines.append(f"  information left at the longest d: {', '.join(known)}")
        if self.model:
            lines.append(f"  model: {'; '.join(f'{key} {value}' for key, value in self.model.items())}")
        for curve in self.curves:
            lines += [
                "",
                f"{curve.quantity}, {curve.estimator}, {curve.date}: {curve.interval_words}, {curve.range_words}",
            ]
            lines += [f"  {words}" for words in (curve.words, curve.compared) if words]
            lines += [f"  $ {command}" for command in curve.commands]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def cells(self) -> dict[str, str]:
        """The row of the table that people read."""
        by = {curve.quantity: curve for curve in self.curves}
        exponents = {
            exponent: by[name].interval_words.partition(" = ")[2] or "no law" if name in by else ""
            for name, exponent in QUANTITIES.items()
        }
        ranges = "; ".join(curve.range_words for curve in self.curves)
        return {
            "law": self.name,
            "domain": self.domain,
            "tokens": f"{self.tokens:,} {self.token}",
            **exponents,
            "range": ranges,
        }

    def numbers(self) -> dict[str, Any]:
        """The row for programs: each exponent with its ends (None without a law), its range, estimator, date and commands."""
        found: dict[str, Any] = {"law": self.name, "domain": self.domain, "corpus": self.corpus["name"],
                                 "licence": self.corpus["licence"], "hash": self.corpus.get("hash"), "tokens": self.tokens,
                                 "token": self.token, "model": self.model.get("name"),
                                 "nats_per_byte": self.model.get("nats per byte"),
                                 "nats_per_token": self.model.get("nats per token")}  # fmt: skip
        for name, exponent in QUANTITIES.items():
            curve = next((curve for curve in self.curves if curve.quantity == name), None)
            held = curve is not None and bool(np.isfinite(curve.exponent))
            found |= {
                exponent: curve.exponent if curve is not None and held else None,
                f"{exponent}_low": curve.low if curve is not None and held else None,
                f"{exponent}_high": curve.high if curve is not None and held else None,
                f"{exponent}_range": "" if curve is None else curve.range_words,
                f"{exponent}_estimator": "" if curve is None else curve.estimator,
                f"{exponent}_date": "" if curve is None else curve.date,
                f"{exponent}_commands": "" if curve is None else " && ".join(curve.commands),
            }
        return found


@cache
def laws() -> Mapping[str, LawRow]:
    """The shipped table of measured laws, by name. It needs no network.

    Returns:
        Name -> row, in the order of the table: text, code, DNA, music, physics, exact sources, controls.

    Example:
        >>> l2m.laws()["ising"].curve("two-point").exponent > 0.4
        True
    """
    rows = {name: _row(name) for name in names()}
    return {name: rows[name] for name in sorted(rows, key=lambda name: (rows[name].settings["order"], name))}


@cache
def names() -> frozenset[str]:
    """The names of the rows; none is read."""
    return frozenset(path.stem for path in _ROWS.glob("*.json"))


@cache
def _row(name: str) -> LawRow:
    return LawRow.load(_ROWS / f"{name}.json")


def law(name: str, quantity: str = "bipartite") -> PowerLaw:
    """A measured law of the shipped table, for every function that takes a law.

    Args:
        name: a row of `l2m.laws()`: "books", "code", "ising", ...
        quantity: "bipartite" (information of past and future against L), "two-point" (against distance d) or "entropy" (of
            the next token against its position).

    Returns:
        The fitted law with its intervals.

    Raises:
        InputError: no such row, a quantity that was not measured there, or one that follows no law.

    Example:
        >>> l2m.law("books").exponent < 1
        True
    """
    row = find(name)
    curve = row.curve(quantity)
    if curve.law is None:
        raise InputError(f"law: {name} follows no {quantity} law ({curve.words})")
    return curve.law


def find(name: str) -> LawRow:
    """A row by its name.

    Raises:
        InputError: no such row.
    """
    if name not in names():
        raise InputError(f"law: {name!r}; no such file, and no row of the shipped table, which has {', '.join(laws())}")
    return _row(name)
