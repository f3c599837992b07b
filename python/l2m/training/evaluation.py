"""What a trained model has learned, by position: exact KL on the Gaussian language, and the information it captured."""

import dataclasses
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.growth import Growth
from l2m.base.progress import Progress
from l2m.base.records import Record, frame
from l2m.truth.equivalent import StateUse
from l2m.truth.frontier import MAX_LENGTH
from l2m.truth.gaussian import HierarchicalGaussian

Floats = NDArray[np.float64]


@lru_cache(maxsize=32)
def gaussian_law(layers: int, children: int, boundary: str) -> HierarchicalGaussian:
    """The law, made once: its frontiers serve every run on it."""
    return HierarchicalGaussian(layers, children, boundary=boundary)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class KLCurve(Record):
    """KL(p || q) of a model's predictions on the Gaussian language, per copy of the law, nats.

    Attributes:
        position: 1..L: the value that is predicted from those before it.
        kl, stderr: mean over sequences and copies, and its standard error over sequences (their copies share one model
            state and are not independent).
        entropy: conditional entropy of the value, exact, from the law; `kl + entropy` is the negative log-likelihood.
        mean_kl, mean_stderr: per position, over the whole sequence.
        information: I_BP(L/2; L) of one copy, exact, from the law.
        captured, captured_stderr: information - sum of kl over the second half. Negative where the predictions of Y are
            worse than those of its own law without the past; never clipped.
        copies: of the law, side by side in the model's input.
        state: numbers the model keeps after L/2 positions: attention cache and recurrent state.
        sequences: held-out sequences that were read.
        lengths: 2, 4, 8, ..., L: the first m positions, of which the first half is X and the second is Y, (lengths,).
        available: I(X; Y) of one copy, exact, from the law, (lengths,).
        captured_by_length, captured_by_length_stderr: `available` - sum of kl over Y, (lengths,).
        flops: floating-point operations of the training up to here (`l2m.training.utilization` says which are counted).
    """

    kind: ClassVar[str] = "kl_curve"
    information_fields: ClassVar[tuple[str, ...]] = (
        *("kl", "stderr", "entropy", "mean_kl", "mean_stderr", "information", "captured", "captured_stderr"),
        *("available", "captured_by_length", "captured_by_length_stderr"),
    )
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("position", "kl", "stderr", "entropy"), "positions"),
        **dict.fromkeys(("lengths", "available", "captured_by_length", "captured_by_length_stderr"), "lengths"),
    }

    position: NDArray[np.int64]
    kl: Floats
    stderr: Floats
    entropy: Floats
    mean_kl: float
    mean_stderr: float
    information: float
    captured: float
    captured_stderr: float
    copies: int
    state: int
    sequences: int
    lengths: NDArray[np.int64] | None = None
    available: Floats | None = None
    captured_by_length: Floats | None = None
    captured_by_length_stderr: Floats | None = None
    flops: float | None = None

    @property
    def utilization(self) -> float:
        """Captured over available information: 1 for the exact law."""
        return self.captured / self.information

    @property
    def utilization_stderr(self) -> float:
        """Standard error of `utilization`; the available information is exact."""
        return self.captured_stderr / self.information

    def utilization_by_length(self) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Lengths, `utilization` of the first so many positions, and its standard error; empty in records of versions before 0.2."""
        if self.lengths is None or self.available is None or self.captured_by_length is None:
            return np.empty(0, np.int64), np.empty(0), np.empty(0)
        error = (
            np.full(self.lengths.size, np.nan)
            if self.captured_by_length_stderr is None
            else self.captured_by_length_stderr
        )
        return self.lengths, self.captured_by_length / self.available, error / self.available

    @property
    def nll(self) -> Floats:
        """Negative log-likelihood by position: KL + conditional entropy. The first rises with position, the second falls."""
        return self.kl + self.entropy

    @property
    def information_per_number(self) -> float:
        """I_BP of all copies together over dim(z) at L/2: the axis of the paper's Fig. 3(c)."""
        return self.copies * self.information / self.state

    def state_use(self) -> StateUse | None:
        """How much of its state the model uses, against the frontier of as many numbers a copy, constant or growing as the model's.

        What it is worth (`equivalent`) is always told in numbers of a constant state.
        None where the law is not in `settings` (a curve that `evaluate` did not make), or too long for a frontier (above 4,096).
        """
        config, length = self.settings.get("config"), self.position.size
        if not isinstance(config, Mapping) or length > MAX_LENGTH or not math.isfinite(self.mean_kl):
            return None
        law = gaussian_law(round(math.log(length, 4)), config.get("children", 3), config.get("boundary", "weighted"))
        # Rounding in float32 may take a KL of 0 below it.
        use = law.state_use(self.state / self.copies, max(0.0, self.to("nats").mean_kl))
        if config.get("growth"):
            grows = Growth.read(config["growth"], beta=law.nominal_exponent)
            # The first token stands before the sequence: after t values the model has the channels of t + 1 tokens.
            opened = grows.at(np.arange(2, length + 2))
            each = max(1, round(use.numbers / opened[length // 2 - 1]))
            held = (each * opened).clip(max=length).astype(int)
            use = dataclasses.replace(use, frontier_kl=law.frontier(held).mean_kl)
        return use.to(self.unit)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper bound of the KL at each position, Student's t over sequences."""
        from scipy.special import stdtrit

        reach = stdtrit(self.sequences - 1, 0.5 + level / 2) * self.stderr
        return self.kl - reach, self.kl + reach

    def _brief(self) -> str:
        return f"{self.position.size:,} positions, KL {self.mean_kl:.4g} ± {self.mean_stderr:.2g} {self.unit} a value, captured {self.captured:.4g} of {self.information:.4g} {self.unit}"

    def to_frame(self) -> Any:
        """A pandas DataFrame: position, kl, stderr, entropy, nll."""
        return frame({name: getattr(self, name) for name in ("position", "kl", "stderr", "entropy", "nll")})

    def plot(self, axes: Any = None, *, label: str | None = None, quantity: Literal["kl", "nll"] = "kl") -> Any:
        """KL or NLL by position, smoothed over positions (means within twelfths of a decade), with its 95 % band."""
        from l2m.base.plots import new_axes

        axes = new_axes() if axes is None else axes
        at, values, low, high = (_smooth(v) for v in (self.position, getattr(self, quantity), *self.interval()))
        if quantity == "nll":  # the entropy is exact: the band is that of the KL
            low, high = (bound + _smooth(self.entropy) for bound in (low, high))
            axes.set(xscale="log", xlabel="position", ylabel=f"NLL per value ({self.unit})")
        else:
            low = np.maximum(low, 1e-12)
            axes.set(xscale="log", yscale="log", xlabel="position", ylabel=f"KL per value ({self.unit})")
        (line,) = axes.plot(at, values, marker="o", markersize=3, label=label)
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        return axes


def _smooth(values: NDArray[Any]) -> Floats:
    """Means within twelfths of a decade of position."""
    edges = np.unique((10 ** np.arange(0, math.log10(values.size), 1 / 12)).astype(int)) - 1
    smoothed: Floats = np.add.reduceat(values, edges) / np.diff(np.append(edges, values.size))
    return smoothed


def evaluate(
    run: str | os.PathLike[str],
    *,
    sequences: int = 64,
    device: str | None = None,
    step: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """What a trained run knows of held-out data, by position.

    Args:
        run: the folder of a run.
        sequences: to read: on the Gaussian language each `copies` copies wide, at least 2; on text windows of `length`.
        step: of a checkpoint that was kept; default the newest.

    Returns:
        A `KLCurve` of a run on the Gaussian language, an `l2m.PositionCurve` (negative log-likelihood) of one on text.

    Raises:
        InputError: no run there, or fewer than 2 sequences.
    """
    from l2m.base.devices import pick_device
    from l2m.training.data import GaussianData, TextData
    from l2m.training.runs import Run, load_model
    from l2m.training.utilization import flops_of_sequence

    checks.whole("sequences", sequences, 2, 2**24)
    held = Run.open(Path(run))
    step = held.newest_step() if step is None else checks.whole("step", step, 1)
    inputs, config = held.inputs(), held.config
    model = load_model(held, device=pick_device(device), step=step, inputs=inputs)
    settings: dict[str, Any] = {"run": str(run), "step": step, "config": dataclasses.asdict(config)}
    if inputs.identity:
        settings["identity"] = dict(inputs.identity)
    state = model.state_size(max(1, config.length // 2))
    if config.corpus is None:
        gaussian = GaussianData(config)
        curve = kl_curve(model, gaussian, sequences=sequences, batch=config.batch, state=state)
        device = next(model.parameters()).device
        of_sequence = flops_of_sequence(model, {name: v.to(device) for name, v in gaussian.held_out(0, 1).items()})
        processes = held.checkpoints.state(step).get("processes", 1)
        read = step * config.batch * config.accumulate * processes
        settings |= {"sequences_trained": read, "flops_a_sequence": of_sequence}
        return dataclasses.replace(curve, settings=settings, flops=float(of_sequence) * read)

    from l2m.scoring import score
    from l2m.scoring.position_nll import position_nll

    data = TextData(config, inputs)
    scores = score(
        data.held_out_corpus,
        model.backbone,
        out=Path(run) / f"scores-{step:08d}",
        length=config.length,
        # One split is the least the store takes; its marginal pass reads half as many tokens again.
        splits=(config.length // 2,),
        ratios=(2,),
        shuffles=0,
        windows=sequences,
        start_token=data.start_token,
        progress=progress,
    )
    nll = position_nll(scores)
    return dataclasses.replace(nll, settings={**nll.settings, **settings, "state": state})


def summary(curve: Any) -> str:
    """The numbers of `headline` in one line."""
    if isinstance(curve, KLCurve):
        use = curve.state_use()
        return (
            f"KL {curve.mean_kl:.5f} ± {curve.mean_stderr:.5f} {curve.unit} a value; captured {curve.captured:.4f} ± "
            f"{curve.captured_stderr:.4f} of {curve.information:.4f} {curve.unit} a copy ({_in_words(curve)}); I/dim {curve.information_per_number:.4g} "
            f"({curve.copies} copies, {curve.state:,} numbers)" + ("" if use is None else f"; {use.explain()}")
        )
    numbers = headline(curve)
    return (
        f"NLL {numbers['mean_nll']:.4f} {curve.unit} a token; {numbers['last_nll']:.4f} ± {numbers['last_stderr']:.4f} at the end; "
        f"no better from position: {shown_plateau(numbers['plateau'])}"
    )


def _in_words(curve: KLCurve) -> str:
    """Utilization with its error, and what it cost."""
    words = f"utilization {curve.utilization:.1%} ± {curve.utilization_stderr:.1%}"
    return words if curve.flops is None else f"{words} after {curve.flops:.3g} FLOPs"


def headline(curve: Any) -> dict[str, Any]:
    """The numbers that sum up an evaluation, by name."""
    if isinstance(curve, KLCurve):
        names = (
            "mean_kl",
            "mean_stderr",
            "captured",
            "captured_stderr",
            "information",
            "information_per_number",
            "state",
        )
        numbers = {name: getattr(curve, name) for name in names}
        numbers |= {"utilization": curve.utilization, "utilization_stderr": curve.utilization_stderr}
        if curve.flops is not None:
            numbers["flops"] = curve.flops
        lengths, share, stderr = curve.utilization_by_length()
        if lengths.size:
            table = {"length": lengths, "utilization": share, "stderr": stderr}
            numbers["utilization_by_length"] = {name: column.tolist() for name, column in table.items()}
        if (use := curve.state_use()) is not None:
            numbers |= {
                "numbers_a_copy": use.numbers,
                "useful_numbers": use.useful,
                "equivalent_state": use.equivalent,
                "equivalent_share": use.share,
                "frontier_kl": use.frontier_kl,
                "missed_kl": use.missed,
            }
        return numbers
    width = curve.last - curve.first + 1
    return {
        "mean_nll": float(np.average(curve.nll, weights=width)),
        "last_nll": float(curve.nll[-1]),
        "last_stderr": float(curve.stderr[-1]),
        "plateau": plateau(curve),
        "state": curve.settings["state"],
    }


def plateau(curve: Any) -> float:
    """Position from which later positions are no better: the bin after the last one whose NLL exceeds the mean of all
    later ones beyond chance, paired within documents: a t-test at a level that finds a gain in a flat curve of any number
    of bins once in 40 times. nan where all text is of one document.

    Not the first that does not: windows begin at sentences, whose first letters are easier than those after them.
    """
    from scipy.special import stdtrit

    documents, rows = np.unique(curve.document, return_inverse=True)
    if len(documents) < 2:
        return math.nan
    counts = np.bincount(rows)[:, None]
    means = np.stack([np.bincount(rows, column) for column in curve.pointwise.T], 1) / counts
    width = curve.last - curve.first + 1
    reach = stdtrit(len(documents) - 1, 1 - 0.025 / max(1, len(width) - 1)) / math.sqrt(len(documents))
    for bin in range(len(width) - 2, -1, -1):
        gain = means[:, bin] - np.average(means[:, bin + 1 :], axis=1, weights=width[bin + 1 :])
        if gain.mean() >= reach * gain.std(ddof=1):
            return float(curve.position[bin + 1])
    return float(curve.position[0])


def shown_plateau(position: float) -> str:
    """What `plateau` found, in words."""
    return "cannot be told from one document" if math.isnan(position) else f"{position:,.0f}"


def kl_curve(model: Any, data: Any, *, sequences: int, batch: int, state: int) -> KLCurve:
    """KL by position of any model that maps (batch, L, copies) to means and log standard deviations.

    Args:
        data: a `GaussianData`.
        state: numbers the model keeps after L/2 positions.

    Raises:
        InputError: fewer than 2 sequences.
    """
    import torch

    from l2m.training.loss import position_loss
    from l2m.training.utilization import available_information, lengths_of, missed_information

    checks.whole("sequences", sequences, 2, 2**24)
    device = next(model.parameters()).device
    rows = []
    with torch.no_grad():
        for number in range(math.ceil(sequences / batch)):
            held_out = {name: value.to(device) for name, value in data.held_out(number, batch).items()}
            rows.append(position_loss(model, held_out).double().cpu().numpy())
    kl = np.concatenate(rows)[:sequences]
    law, length = data.law, data.law.length
    lengths = lengths_of(length)
    missed = missed_information(kl, lengths)
    available = np.array([available_information(law, int(m)) for m in lengths])

    def error(values: Floats) -> Any:
        return values.std(0, ddof=1) / math.sqrt(len(values))

    return KLCurve(
        position=np.arange(1, length + 1),
        kl=kl.mean(0),
        stderr=error(kl),
        entropy=np.array(law.entropy()),
        mean_kl=float(kl.mean()),
        mean_stderr=float(error(kl.mean(1))),
        information=float(available[-1]),
        captured=float(available[-1] - missed[:, -1].mean()),
        captured_stderr=float(error(missed[:, -1])),
        lengths=lengths,
        available=available,
        captured_by_length=available - missed.mean(0),
        captured_by_length_stderr=error(missed),
        copies=data.config.copies,
        state=state,
        sequences=len(kl),
    )


def _draw_utilization(curves: dict[str, KLCurve], path: str | os.PathLike[str]) -> None:
    """Captured over available information of several runs, by name: against length, and of whole sequences against compute."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    by_length, by_compute = figure.subplots(1, 2, sharey=True)
    for name, curve in curves.items():
        lengths, share, stderr = curve.utilization_by_length()
        by_length.errorbar(lengths, share, 1.96 * stderr, marker="o", markersize=3, capsize=2, label=name)
        if curve.flops is not None:
            reach = 1.96 * curve.utilization_stderr
            by_compute.errorbar(curve.flops, curve.utilization, reach, marker="o", capsize=2, label=name)
    for axes in (by_length, by_compute):
        axes.axhline(1, color="0.6", linewidth=0.8)
    by_length.set(xlabel="length m: the first m/2 positions, the next m/2", ylabel="captured / available information")
    by_length.set_xscale("log", base=2)
    by_compute.set(xscale="log", xlabel="FLOPs of the training")
    by_length.legend()
    figure.savefig(path)


def draw(
    curves: dict[str, Any], path: str | os.PathLike[str], *, quantity: Literal["kl", "nll", "utilization"] = "kl"
) -> None:
    """The curves of several runs, by name, into one figure file (its suffix names the format).

    Args:
        quantity: of runs on the Gaussian language: the KL; the NLL and the conditional entropy of the law; or, of these runs alone,
            the utilization.
    """
    from l2m.base.plots import new_axes

    gaussian = {name: curve for name, curve in curves.items() if isinstance(curve, KLCurve)}
    if quantity == "utilization":
        _draw_utilization(gaussian, path)
        return
    axes = new_axes()
    for name, curve in curves.items():
        if name in gaussian:
            curve.plot(axes, label=name, quantity=quantity)
        else:
            curve.plot(axes, label=name)
    if gaussian and quantity == "nll":
        laws = {curve.entropy.tobytes(): curve for curve in gaussian.values()}
        for curve in laws.values():
            label = "entropy of the law" + (f", L = {curve.position.size:,}" if len(laws) > 1 else "")
            axes.plot(_smooth(curve.position), _smooth(curve.entropy), "--", linewidth=1.0, label=label)
    elif len(gaussian) == len(curves):
        # The KL of the first positions, before which there is little to know, would take most of the axis.
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, high / 1e4), high)
    axes.legend()
    axes.figure.savefig(path)
