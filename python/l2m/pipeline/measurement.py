"""What a measurement found, as records: the content of results.json."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from l2m.base.records import Record
from l2m.counting.two_point_curve import TwoPointCurve
from l2m.scoring.bipartite import BipartiteCurve
from l2m.statistics.power_law import PowerLaw


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Domain(Record):
    """Two-point information of one corpus: what it was made of, the curve, the law (None: `words` says why there is none)."""

    kind: ClassVar[str] = "domain"

    name: str
    corpus: Mapping[str, Any]
    curve: TwoPointCurve
    law: PowerLaw | None
    words: str

    def _scaled(self, factor: float) -> dict[str, Any]:
        return {"words": _words(self.law, self.words, factor)}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Measurement(Record):
    """All that `measure` found: what `results.json` holds and the report shows.

    Attributes:
        summary: the numbers people quote: alpha, beta, their 95 % intervals, the outcome for the scored model.
        domains: two-point information: of the measured text first, then of the other domains.
        bipartite: bipartite information of the text under the model, one value per split.
        law: its power law, I = A L^beta (`settings["x"]` says what x is); None where there is none to fit.
        words: the law in words, or why there is none.
        verdicts: the L²M condition, for the scored model first, then for the others: states in numbers, lengths in tokens
            as {value, low, high} at 95 %, the threshold in `unit` per number, the frontier's too, with its tolerance in
            `unit` a value; `headline` and `words` say it in words.
            Empty where no exponent within (0, 1) was resolved.
        command: the command line that repeats the measurement.
        note: what a reader of the error bars must know; empty where they are over documents.

    The words of the verdicts keep their unit, which they name.
    """

    kind: ClassVar[str] = "measurement"

    title: str
    summary: Mapping[str, Any]
    model: Mapping[str, Any]
    domains: tuple[Domain, ...]
    bipartite: BipartiteCurve
    law: PowerLaw | None
    words: str
    verdicts: tuple[Mapping[str, Any], ...]
    command: str
    note: str

    def _scaled(self, factor: float) -> dict[str, Any]:
        def scaled(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
            return {**values, **{name: values[name] * factor for name in names if values.get(name) is not None}}

        return {
            "summary": scaled(self.summary, "amplitude"),
            "model": scaled(self.model, "noise_floor"),
            "verdicts": tuple(
                scaled(verdict, "threshold", "frontier_threshold", "frontier_tolerance") for verdict in self.verdicts
            ),
            "words": _words(self.law, self.words, factor),
        }


def _words(law: PowerLaw | None, words: str, factor: float) -> str:
    """The words about a law in nats or bits, which are `factor` times the numbers they were."""
    return words if law is None else law.to("bits" if factor > 1 else "nats").explain()
