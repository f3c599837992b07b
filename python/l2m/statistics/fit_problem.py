"""A curve to be fitted: checked, weighted, solved, with the errors of the solution."""

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.base import checks
from l2m.errors import InputError
from l2m.statistics.jackknife import jackknife_errors

Floats = NDArray[np.float64]
METHODS = ("ols", "wls", "gls", "robust", "nonlinear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitProblem:
    """A checked curve and how it is fitted: y = A x^b + C.

    Attributes:
        x, y, stderr, covariance: the data.
        offset: "", "free" or "bounded".
        bounds: of the offset.
        method: one of `METHODS`.
        model: the name of the form that the core fits.
        replicates, group_weights: the jackknife's.
    """

    x: Floats
    y: Floats
    stderr: Floats | None = None
    covariance: Floats | None = None
    offset: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    method: str = "ols"
    model: str = "log-log"
    replicates: Floats | None = None
    group_weights: Floats | None = None

    @classmethod
    def check(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        *,
        stderr: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
        offset: bool | str = False,
        offset_bounds: tuple[float, float] | None = None,
        method: str = "ols",
        replicates: ArrayLike | None = None,
        group_weights: ArrayLike | None = None,
        parameters: int | None = None,
    ) -> "FitProblem":
        """The problem that these arguments state; see `l2m.fit_power_law`.

        Args:
            parameters: of the curve to fit; None: those of the power law.

        Raises:
            InputError: see `l2m.fit_power_law`.
        """
        checks.one_of("method", method, METHODS)
        kind = {False: "", True: "free", "free": "free", "bounded": "bounded"}.get(offset) if _plain(offset) else None
        if kind is None:
            raise InputError(f"offset: {offset!r}; expected False, True, 'free' or 'bounded'")
        abscissae = _vector("x", x)
        size = abscissae.size
        ordinates = _vector("y", y, size)
        errors = None if stderr is None else _vector("stderr", stderr, size)
        matrix = None if covariance is None else _matrix("covariance", covariance, (size, size))
        if method == "wls" and errors is None:
            raise InputError("stderr: none; expected standard errors of y for method='wls'")
        if method == "gls" and matrix is None:
            raise InputError("covariance: none; expected the covariance of y for method='gls'")
        table = None if replicates is None else _matrix("replicates", replicates, (-1, size))
        if table is not None and len(table) < 2:
            raise InputError(f"replicates: {len(table)} groups; expected at least 2")
        if group_weights is not None and table is None:
            raise InputError("group_weights: given without replicates; expected both")
        shares = None if group_weights is None or table is None else _vector("group_weights", group_weights, len(table))
        bounds = _bounds(offset_bounds, kind)
        if kind == "bounded" and method != "ols":
            raise InputError(f"method: {method!r} with offset='bounded'; expected 'ols' (or offset='free')")
        everything = ordinates if table is None else np.concatenate([ordinates, table.ravel()])
        if kind:
            model = "log-offset" if kind == "bounded" else "linear-offset"
        elif method == "nonlinear" or (method in ("wls", "gls") and (everything <= 0).any()):
            model = "linear"
        else:
            model = "log-log"
        _core.check_curve(
            abscissae,
            ordinates,
            parameters or (3 if kind else 2),
            stderr=errors,
            covariance=matrix,
            replicates=table,
            shares=shares,
            logarithm=model == "log-log",
            logarithm_above=bounds[0] if model == "log-offset" else None,
        )
        return cls(
            x=abscissae,
            y=ordinates,
            stderr=errors,
            covariance=matrix,
            offset=kind,
            bounds=bounds,
            method=method,
            model=model,
            replicates=table,
            group_weights=shares,
        )

    @property
    def space(self) -> str:
        """ "log" where logarithms of y (or of y - C) are fitted, else "linear"."""
        return "log" if self.model.startswith("log") else "linear"

    @property
    def parameters(self) -> int:
        return 3 if self.offset else 2

    @cached_property
    def weights(self) -> Floats | None:
        """1 / variance in the space of the fit; None: equal."""
        if self.stderr is None or self.method not in ("wls", "nonlinear"):
            return None
        return (self.y / self.stderr) ** 2 if self.model == "log-log" else self.stderr**-2.0

    @cached_property
    def matrix(self) -> Floats | None:
        """The covariance in the space of the fit; None unless it weighs the fit."""
        if self.method != "gls" or self.covariance is None:
            return None
        return self.covariance / np.outer(self.y, self.y) if self.model == "log-log" else self.covariance

    def fitter(self, kept: NDArray[np.bool_] | None = None) -> _core.CurveFitter:
        rows = np.ones(self.x.size, bool) if kept is None else kept
        return _core.CurveFitter(
            self.x[rows],
            self.model,
            weights=None if self.weights is None else self.weights[rows],
            covariance=None if self.matrix is None else np.ascontiguousarray(self.matrix[np.ix_(rows, rows)]),
            bounds=self.bounds,
            robust=self.method == "robust",
        )

    def ordinates(self, y: Floats) -> Floats:
        return np.log(y) if self.model == "log-log" else y

    def fit(self, rows: Floats) -> Floats:
        """(rows, 3) laws of (rows, points) ordinates."""
        return self.fitter().fit(np.ascontiguousarray(self.ordinates(rows)))

    def leave_one_out(self) -> Floats:
        laws = np.full((self.x.size, 3), np.nan)
        for point in range(self.x.size):
            kept = np.arange(self.x.size) != point
            if np.unique(self.x[kept]).size >= self.parameters:
                laws[point] = self.fitter(kept).fit(self.ordinates(self.y[None, kept]))[0]
        return laws

    def residuals(self, law: Floats) -> tuple[Floats, Floats, Floats]:
        """(fitted, residual, standard deviation up to a common factor) in the space of the fit."""
        fitted = law[0] * self.x ** law[1]
        target = self.y - law[2] if self.model == "log-offset" else self.y
        if self.model.startswith("log"):
            fitted, target = np.log(fitted), np.log(target)
        else:
            fitted = fitted + law[2]
        scale = np.ones(self.x.size) if self.weights is None else self.weights**-0.5
        return fitted, target - fitted, scale

    def inside(self, exponent: float) -> bool:
        """False for an exponent so large that the law touches one point only: the end of the searched range."""
        logs = np.sort(np.unique(np.log(self.x)))
        gap = min(logs[1] - logs[0], logs[-1] - logs[-2])
        return bool(abs(exponent) * gap < 20)

    def parameter_covariance(self, law: Floats) -> Floats:
        """Covariance of log|A|, b, C from the slopes at the solution, scaled by the residuals (points - parameters)."""
        free, size = self.parameters, self.x.size
        _, residual, scale = self.residuals(law)
        logs = np.log(self.x)
        if self.model.startswith("log"):
            columns = [np.ones(size), logs, 1 / (self.y - law[2])]
        else:
            term = law[0] * self.x ** law[1]
            columns = [term, term * logs, np.ones(size)]
        at_bound = free == 3 and law[2] in self.bounds
        active = 2 if at_bound else free
        design = np.stack(columns[:active], axis=1)
        if self.method == "robust":
            covariance = _huber_covariance(design, residual)
        else:
            if self.matrix is not None:
                factor = np.linalg.cholesky(self.matrix)
                design, residual = np.linalg.solve(factor, design), np.linalg.solve(factor, residual)
            else:
                design, residual = design / scale[:, None], residual / scale
            degrees = size - free
            dispersion = residual @ residual / degrees if degrees else math.nan
            covariance = dispersion * inverse_gram(design)
        padded = np.zeros((3, 3))
        padded[:active, :active] = covariance
        return padded

    def solve(self) -> "Solution":
        """The best fit with its errors.

        Raises:
            InputError: no power law describes the values.
        """
        with np.errstate(all="ignore"):  # laws at the ends of the searched range overflow, and are not resolved
            return self._solved()

    def _solved(self) -> "Solution":
        best = self.fit(self.y[None])[0]
        if not np.isfinite(best[1:]).all():
            raise InputError(
                f"y: no finite least-squares solution for values from {self.y.min():g} to {self.y.max():g}; "
                "expected values that a power law can describe"
            )
        logs = float(np.log(self.x).mean())

        def centred(laws: Floats) -> Floats:
            return np.asarray(laws[..., 0] * np.exp(laws[..., 1] * logs))

        refits, degrees = None, float(self.x.size - self.parameters)
        if self.replicates is None:
            covariance = self.parameter_covariance(best)
            size_error = _term_error(best, covariance, logs)
        else:
            refits, degrees = self.fit(self.replicates), float(len(self.replicates) - 1)
            _, covariance = jackknife_errors(_coordinates(refits), _coordinates(best), self.group_weights)
            stderr, _ = jackknife_errors(centred(refits)[:, None], centred(best)[None], self.group_weights)
            size_error = float(stderr[0])
        size = float(centred(best))
        # The term of a log-log fit is positive by construction.
        resolved = self.model == "log-log" or bool(abs(size) > 2 * size_error)
        if refits is not None and not (np.isfinite(refits).all() and (np.sign(refits[:, 0]) == np.sign(best[0])).all()):
            resolved = False
        if self.model != "log-log" and not self.inside(best[1]):
            resolved = False
        return Solution(
            parameters=best, covariance=covariance, degrees_of_freedom=degrees, refits=refits, resolved=resolved
        )

    def bootstrap(self, law: Floats, resample: str, replicates: int, seed: int) -> Floats:
        if resample == "pairs":
            target = self.ordinates(self.y)
            return self.fitter().bootstrap(target, target, resample=resample, replicates=replicates, seed=seed)
        fitted, residual, scale = self.residuals(law)
        size = self.x.size
        inflation = math.sqrt(size / max(size - self.parameters, 1))
        spread = inflation * math.sqrt(float(np.mean((residual / scale) ** 2)))
        normal, matrix = None, None
        if resample == "parametric":
            if self.covariance is not None:
                logs = self.model.startswith("log")
                matrix = self.covariance / np.outer(self.y - law[2], self.y - law[2]) if logs else self.covariance
            elif self.stderr is not None:
                normal = self.stderr / np.abs(self.y - law[2]) if self.model.startswith("log") else self.stderr
            else:
                normal = spread * scale
        return self.fitter().bootstrap(
            self.ordinates(self.y),
            fitted,
            resample={"parametric": "normal" if matrix is None else "correlated"}.get(resample, resample),
            replicates=replicates,
            seed=seed,
            base=float(law[2]),
            residuals=(residual / scale - np.mean(residual / scale)) * inflation,
            scale=scale if normal is None else normal,
            covariance=None if matrix is None else np.ascontiguousarray(matrix),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solution:
    """The best fit of a problem.

    Attributes:
        parameters: amplitude, exponent, offset.
        covariance: (3, 3) of log|amplitude|, exponent, offset.
        degrees_of_freedom: of the t interval.
        refits: (groups, 3) the parameters in every jackknife replicate.
        resolved: whether the data tell the term that varies from zero.
    """

    parameters: Floats
    covariance: Floats
    degrees_of_freedom: float
    refits: Floats | None
    resolved: bool


def inverse_gram(design: Floats) -> Floats:
    """(X'X)^-1 through a QR decomposition of columns of length 1; inf where they do not tell parameters apart."""
    length = np.sqrt(np.sum(design**2, axis=0))
    if not (np.isfinite(length).all() and (length > 0).all()):
        return np.full((design.shape[1],) * 2, math.inf)
    triangle = np.linalg.qr(design / length, mode="r")
    if np.abs(np.diag(triangle)).min() < 1e-12:
        return np.full((design.shape[1],) * 2, math.inf)
    inverse = np.linalg.inv(triangle)
    covariance: Floats = inverse @ inverse.T / np.outer(length, length)
    return covariance


def _huber_covariance(design: Floats, residual: Floats) -> Floats:
    """Asymptotic covariance of Huber's estimate with its small-sample correction (Huber 1981, equation 7.6.5, "H1")."""
    size, parameters = design.shape
    scale = np.median(np.abs(residual)) / _core.NORMAL_MAD
    if scale == 0:
        return np.zeros((parameters, parameters))
    z = residual / scale
    bounded, inside = np.clip(z, -_core.HUBER, _core.HUBER), np.abs(z) <= _core.HUBER
    share = inside.mean()
    correction = 1 + parameters / size * (inside.var() / share**2)
    dispersion = (
        correction**2 * (bounded @ bounded / (size - parameters)) * scale**2 / share**2
        if size > parameters
        else math.nan
    )
    return np.asarray(dispersion * inverse_gram(design))


def _coordinates(laws: Floats) -> Floats:
    """log|A|, b, C."""
    return np.stack([np.log(np.abs(laws[..., 0])), laws[..., 1], laws[..., 2]], axis=-1)


def _term_error(law: Floats, errors: Floats, log_centre: float) -> float:
    """Standard error of A x^b at the centre of the data."""
    gradient = np.array([1, log_centre])
    relative = float(gradient @ errors[:2, :2] @ gradient)
    size = abs(law[0]) * math.exp(min(law[1] * log_centre, 700.0))
    return size * math.sqrt(relative) if relative >= 0 else math.inf


def _plain(value: Any) -> bool:
    return isinstance(value, (bool, str, np.bool_))


def _bounds(offset_bounds: tuple[float, float] | None, kind: str) -> tuple[float, float]:
    if offset_bounds is None:
        return (0.0, math.inf) if kind == "bounded" else (-math.inf, math.inf)
    try:
        low, high = (float(bound) for bound in offset_bounds)
    except (TypeError, ValueError):
        raise InputError(f"offset_bounds: {offset_bounds!r}; expected (low, high)") from None
    if not kind:
        raise InputError("offset_bounds: given without an offset; expected offset=True")
    if not low <= high:
        raise InputError(f"offset_bounds: ({low:g}, {high:g}); expected low <= high")
    return low, high


def _numbers(name: str, values: ArrayLike) -> Floats:
    array = checks.plain_array(name, values)
    if array.dtype.kind not in "iufb":
        raise InputError(f"{name}: {checks.dtype_name(array)}; expected numbers")
    return np.array(array, dtype=float)


def _vector(name: str, values: ArrayLike, size: int | None = None) -> Floats:
    vector = _numbers(name, values)
    if vector.ndim != 1 or (size is not None and vector.size != size):
        expected = "one dimension" if size is None else f"{size} values, one a point"
        raise InputError(f"{name}: an array of shape {vector.shape}; expected {expected}")
    return vector


def _matrix(name: str, values: ArrayLike, shape: tuple[int, int]) -> Floats:
    matrix = _numbers(name, values)
    if matrix.ndim != 2 or any(want not in (-1, have) for want, have in zip(shape, matrix.shape, strict=True)):
        wanted = " x ".join("groups" if want < 0 else str(want) for want in shape)
        raise InputError(f"{name}: an array of shape {matrix.shape}; expected {wanted}")
    return matrix
