"""Bipartite information I(X; Y) of a text's past and future, from the log-probabilities a language model gave.

X is the first l tokens of a window, Y the next (r - 1) l; L = r l (paper, sections 3 and 4.2). Two estimators:

    direct   E[log q(Y|X) - log q(Y)]                       biased by KL(p(Y)||q(Y)) - KL(p(Y|X)||q(Y|X))
    vclub    E_p(x,y)[log q(Y|X)] - E_p(x)p(y)[log q(Y|X)]  I + KL(p(x)p(y) || p(x,y)) even when q is exact
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError
from l2m.records import Record
from l2m.scoring import Scores

if TYPE_CHECKING:
    from l2m.power_law import PowerLaw

ESTIMATORS = ("direct", "vclub")
# Below this many documents a jackknife over them has too few groups; windows then stand in, and the curve says so.
_FEWEST_DOCUMENTS = 8


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BipartiteCurve(Record):
    """I(X; Y) at each split, with errors over documents.

    Attributes:
        split: l, tokens of X, int64, (points,).
        length: L = ratio * l, tokens of X and Y together, int64, (points,).
        information: nats, (points,).
        stderr: standard errors by the delete-one-document jackknife, (points,). Splits share windows: see covariance.
        covariance: (points, points).
        pointwise: the estimate of each window, (windows, points); their mean is `information`.
        document: int64, (windows,).
        replicates: the estimates with one group left out, (groups, points).
        groups: "documents", or "windows" where fewer than 8 documents were scored: then the errors do not know that
            windows of one document are alike, and are likely too small.
    """

    kind: ClassVar[str] = "bipartite"
    information_fields: ClassVar[tuple[str, ...]] = ("information", "stderr", "pointwise", "replicates")
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance",)

    split: NDArray[np.int64]
    length: NDArray[np.int64]
    information: NDArray[np.float64]
    stderr: NDArray[np.float64]
    covariance: NDArray[np.float64]
    pointwise: NDArray[np.float64]
    document: NDArray[np.int64]
    replicates: NDArray[np.float64]
    groups: str

    def fit(self, *, x: str = "length", splits: Sequence[int] | None = None, **options: Any) -> "PowerLaw":
        """The power law information = amplitude * x**exponent, refitted jointly in each jackknife replicate.

        Args:
            x: what the amplitude refers to: "length" (L, as in 2.27 L^0.76) or "split" (l, as the paper's scripts fit).
            splits: fit these only.
            options: passed on to `l2m.fit_power_law`; the method is "ols" in logarithms where every value is positive, else
                "nonlinear" in the values themselves.
        """
        from l2m.power_law import fit_power_law

        if x not in ("length", "split"):
            raise InputError(f"x: {x!r}; expected 'length' or 'split'")
        kept = np.ones(self.split.size, bool) if splits is None else np.isin(self.split, splits)
        several = len(self.replicates) > 1
        replicates = self.replicates[:, kept] if several else None
        positive = (self.information[kept] > 0).all() and (self.replicates[:, kept] > 0).all()
        options.setdefault("method", "ols" if positive else "nonlinear")
        law = fit_power_law(
            getattr(self, x)[kept].astype(float),
            self.information[kept],
            stderr=self.stderr[kept] if several and (self.stderr[kept] > 0).all() else None,
            replicates=replicates,
            **options,
        )
        return dataclasses.replace(law, unit=self.unit, settings={**self.settings, **law.settings, "x": x})

    def to_frame(self) -> Any:
        """A pandas DataFrame: split, length, information, stderr."""
        import pandas as pd

        columns = ("split", "length", "information", "stderr")
        return pd.DataFrame({name: getattr(self, name) for name in columns})

    def plot(self, axes: Any = None, *, x: str = "length", label: str | None = None) -> Any:
        """Points with one-standard-error bars on logarithmic axes; the matplotlib Axes."""
        from matplotlib.figure import Figure

        axes = Figure(figsize=(6, 4.2), layout="constrained").add_subplot() if axes is None else axes
        axes.errorbar(getattr(self, x), self.information, self.stderr, fmt="o", ms=4, capsize=2, label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("total length L (tokens)" if x == "length" else "split l (tokens)")
        axes.set_ylabel(f"bipartite information ({self.unit})")
        return axes


def bipartite(
    scores: Scores, *, estimator: str = "direct", ratio: int = 2, correction: str | None = None
) -> BipartiteCurve:
    """Bipartite information at every split that was scored, from a store.

    Args:
        scores: from `l2m.score` or `l2m.load(folder)`.
        estimator: "direct" or "vclub".
        ratio: L / l.
        correction: None.

    Raises:
        InputError: unknown names; passes that the store does not hold for any window.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"estimator: {estimator!r}; expected one of {', '.join(ESTIMATORS)}")
    splits = [split for split in scores.splits if ratio * split <= scores.length]
    if estimator == "vclub" and not scores.shuffles:
        raise InputError(f"{scores.folder}: no shuffled passes; expected some for vclub: score with shuffles=1 or more")
    splits = [split for split in splits if scores.marginal(split).shape[1] >= (ratio - 1) * split]
    if not splits:
        raise InputError(f"ratio: {ratio}; {scores.folder} holds no split l with Y of {ratio - 1} l tokens")
    first = np.stack([_sum(scores.conditional[:, split : ratio * split]) for split in splits], 1)
    if estimator == "direct":
        second = np.stack([_sum(scores.marginal(split)[:, : (ratio - 1) * split]) for split in splits], 1)[:, None]
        partners = scores.documents[:, None]
    else:
        second = np.stack(
            [
                np.stack([_sum(scores.shuffled(split, k)[:, : (ratio - 1) * split]) for split in splits], 1)
                for k in range(scores.shuffles)
            ],
            1,
        )
        partners = np.stack(scores.partners, 1)
    whole = np.isfinite(first).all(1) & np.isfinite(second).all((1, 2))
    if not whole.any():
        raise InputError(f"{scores.folder}: no window has all its passes yet; score again with the same settings")
    first, second, partners, document = first[whole], second[whole], partners[whole], scores.documents[whole]
    information, replicates, groups = _jackknife(first, second, document, partners)
    centred = replicates - replicates.mean(0)
    covariance = centred.T @ centred * (len(replicates) - 1) / max(len(replicates), 1)
    if len(replicates) < 2:
        covariance = np.full_like(covariance, np.nan)
    split = np.array(splits, np.int64)
    settings = {
        "estimator": estimator,
        "ratio": ratio,
        "correction": correction or "none",
        "windows": int(whole.sum()),
        "windows_incomplete": int((~whole).sum()),
        "documents": int(np.unique(document).size),
        "noise_floor": scores.noise_floor,
        "scores": dict(scores.settings),
    }
    return BipartiteCurve(
        split=split,
        length=ratio * split,
        information=information,
        stderr=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        pointwise=first - second.mean(1),
        document=document,
        replicates=replicates,
        groups=groups,
        settings=settings,
    )


def _sum(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(values.sum(1, dtype=np.float64))


def _jackknife(
    first: NDArray[np.float64], second: NDArray[np.float64], document: NDArray[np.int64], partners: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """mean(first) - mean(second), and the same with each document left out in turn.

    A pair of two documents leaves with either of them, so that the errors know a partner may be drawn several times.

    Args:
        first: (windows, points).
        second: (windows, pairs, points).
        document: (windows,).
        partners: (windows, pairs), the other document of each pair.
    """
    by_document = np.unique(document).size >= _FEWEST_DOCUMENTS
    names, label = np.unique(document if by_document else np.arange(document.size), return_inverse=True)
    groups, count = names.size, np.full(names.size, float(document.size))
    pairs = np.full(groups, float(partners.size))

    def sums(of: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros((groups, values.shape[-1]))
        np.add.at(total, of, values)
        return total

    first_left = first.sum(0) - sums(label, first)
    count -= np.bincount(label, minlength=groups)
    second_left = second.sum((0, 1)) - sums(label, second.sum(1))
    pairs -= np.bincount(label, minlength=groups) * partners.shape[1]
    if by_document:
        # Partners' documents among the groups; a partner's own windows may be incomplete, then it is in none.
        place = np.minimum(np.searchsorted(names, partners), groups - 1)
        other = (names[place] == partners) & (partners != document[:, None])
        second_left -= sums(place[other], second[other])
        pairs -= np.bincount(place[other], minlength=groups)
    kept = (count > 0) & (pairs > 0)
    replicates = first_left[kept] / count[kept, None] - second_left[kept] / pairs[kept, None]
    return first.mean(0) - second.mean((0, 1)), replicates, "documents" if by_document else "windows"
