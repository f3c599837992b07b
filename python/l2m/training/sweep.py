"""Many runs from one TOML file: models x lengths, one after another or side by side, finished ones skipped.

out = "runs/collapse"            # folder of the runs
[train]                          # fields of TrainConfig for every run
batch = 16
[[model]]                        # a model and the lengths it is trained at; fields as above
name = "mamba-1k"
preset = "mamba-tiny"
length = [16, 64, 256]           # a list gives one run per length; other lists have as many entries
steps = [4000, 2000, 1000]
"""

import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2m.base.forecast import Forecast
from l2m.errors import InputError
from l2m.training.config import TrainConfig, plain_name
from l2m.training.inputs import changed_input, find_inputs

log = logging.getLogger("l2m")

MOST_RUNS = 10_000
_NO_NAME = str.maketrans(dict.fromkeys('/\\:*?"<>|', "-"))
"""Characters that some file system does not take in a name."""
LONGEST_NAME = 200
"""Bytes of a run's name: with its length it must be the name of a folder."""


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: the name of its model in the file, its settings, its folder."""

    name: str
    config: TrainConfig
    folder: Path

    @property
    def result(self) -> Path:
        """The evaluation that is written when the run is done."""
        return self.folder / "evaluation.json"

    def evaluation(self) -> Any:
        """The record in `result`, in nats; None if the run is not finished, or has not been evaluated at its end.

        Raises:
            InputError: it is damaged, or of a run with other settings (the field is named), of another corpus or model.
        """
        from l2m.base.records import read_record
        from l2m.scoring.position_nll import PositionCurve
        from l2m.training.evaluation import KLCurve

        if not self.result.exists():
            return None
        curve = read_record(self.result)
        kind = KLCurve if self.config.corpus is None else PositionCurve
        if not isinstance(curve, kind):
            raise InputError(f"{self.result}: a record of kind {curve.kind!r}; expected {kind.kind!r}")
        settings = curve.settings
        if not isinstance(settings.get("config"), Mapping) or not isinstance(settings.get("step"), int):
            raise InputError(f"{self.result}: no evaluation of a training run; expected one that l2m evaluate wrote")
        try:
            held = TrainConfig.from_dict(settings["config"])
        except InputError as error:
            raise InputError(f"{self.result}: {error}") from None
        # Where the content of corpus and model is known, they may have moved.
        identity = settings.get("identity")
        identity = identity if isinstance(identity, Mapping) else {}
        different = held.difference(self.config, but=("corpus", "preset") if identity else ())
        if different is None and identity:
            different = changed_input(identity, find_inputs(self.config, verify=False).identity)
        if different:
            raise InputError(f"{self.folder}: {different}; expected the same, or another name or folder")
        return curve.to("nats") if settings["step"] == self.config.total_steps else None


def read_sweep(path: str | os.PathLike[str], *, out: str | os.PathLike[str] | None = None) -> list[SweepRun]:
    """The runs that a TOML file describes, shorter lengths first.

    Args:
        out: folder of the runs, in place of the file's.

    Raises:
        InputError: no such file, not TOML, an unknown field, a value of another type or out of range, lists of unlike lengths, a
            name that is no plain name, two runs in one folder.
    """
    path = Path(path)
    value = _read_toml(path)
    if unknown := set(value) - {"out", "train", "model"}:
        raise InputError(f"{path}: {sorted(unknown)[0]!r}; expected out, [train] and [[model]]")
    models, common, folder = value.get("model"), value.get("train", {}), value.get("out", path.stem)
    if not isinstance(models, list) or not models:
        raise InputError(f"{path}: no [[model]]; expected at least one")
    for name, table in (("train", common), *(("model", model) for model in models)):
        if not isinstance(table, Mapping):
            raise InputError(f"{path}: {name}: {table!r}; expected a table of settings")
    if not isinstance(folder, str) or not folder or "\0" in folder:
        raise InputError(f"{path}: out: {folder!r}; expected the name of a folder")
    folder = Path(folder) if out is None else Path(out)
    runs = [run for model in models for run in _runs_of(str(path), folder, common, model)]
    if len(runs) > MOST_RUNS:
        raise InputError(f"{path}: {len(runs):,} runs; expected at most {MOST_RUNS:,}")
    seen: set[str] = set()
    for run in runs:
        # As file systems compare names that do not tell capitals apart.
        key = run.folder.name.casefold()
        if key in seen:
            raise InputError(f"{path}: two runs named {run.folder.name}; expected another name for one of the models")
        seen.add(key)
    return sorted(runs, key=lambda run: run.config.length)


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a file; expected TOML")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; expected TOML") from None
    except ValueError as error:  # of TOML, of UTF-8, and of integers with thousands of digits
        raise InputError(f"{path}: not TOML ({error})") from None


def _runs_of(origin: str, folder: Path, common: Mapping[str, Any], model: Mapping[str, Any]) -> list[SweepRun]:
    fields = {**common, **model}
    preset = fields.get("preset", TrainConfig.preset)
    named = (
        plain_name(preset) if isinstance(preset, str) else "model"
    )  # another type is refused with the other settings
    name = _run_name(origin, fields.pop("name", named.translate(_NO_NAME)))
    lists = {key: value for key, value in fields.items() if isinstance(value, list)}
    counts = {len(value) for value in lists.values()}
    if len(counts) > 1 or 0 in counts:
        told = ", ".join(f"{key} of {len(value)}" for key, value in lists.items())
        raise InputError(f"{origin}: model {name}: {told}; expected lists of one length")
    count = counts.pop() if counts else 1
    if count > MOST_RUNS:
        raise InputError(f"{origin}: model {name}: {count:,} runs; expected at most {MOST_RUNS:,}")
    runs = []
    for index in range(count):
        chosen = {key: value[index] if key in lists else value for key, value in fields.items()}
        try:
            config = TrainConfig.from_dict(chosen).complete()
        except InputError as error:
            raise InputError(f"{origin}: model {name}: {error}") from None
        runs.append(SweepRun(name, config, folder / f"{name}-{config.length}"))
    return runs


def _run_name(origin: str, name: Any) -> str:
    """A name that makes a folder inside --out, on any file system.

    Raises:
        InputError: another type, empty, a path, or with characters that some file systems refuse.
    """
    plain = isinstance(name, str) and name not in ("", ".", "..") and name.isprintable()
    if (
        not plain
        or name.translate(_NO_NAME) != name
        or name != name.strip()
        or len(name.encode("utf-8", "replace")) > LONGEST_NAME
    ):
        shown = repr(name) if len(repr(name)) <= 80 else repr(name)[:77] + "..."
        raise InputError(
            f"{origin}: name: {shown}; expected a plain name of letters, digits, dots and dashes, without a path"
        )
    return str(name)


def forecast(runs: list[SweepRun], *, threads: int = 1, device: str | None = None, steps: int = 3) -> Forecast:
    """What the runs that are not done will take on an idle machine, from a few timed steps of each.

    The median of `steps` steps after one that warms up; on a CPU in processor time over `threads`, so that other work on the
    machine counts little. Data, evaluation and checkpoints are left out: under 5 % of a run. A line a run goes to the logger "l2m".
    """
    from l2m.base.devices import use_threads

    use_threads(threads)
    waiting = [run for run in runs if run.evaluation() is None]
    seconds = {}
    for run in waiting:
        state, step = _time_a_step(run.config, device, threads, steps)
        total = run.config.total_steps
        seconds[run.folder.name] = step * total
        log.info(
            f"{run.folder.name:<20} state {state:>8,}  {1e3 * step:7.1f} ms a step  x {total:>7,} = {step * total / 60:7.1f} min"
        )
    work = {"runs": len(runs), "runs_to_go": len(waiting)}
    return Forecast(work=work, tasks=seconds, threads=threads)


def _time_a_step(config: TrainConfig, device: str | None, threads: int, steps: int) -> tuple[int, float]:
    """dim(z) of a config's model at L/2, and the median seconds of a step."""
    import statistics

    import torch

    from l2m.base.devices import pick_device
    from l2m.training.build import build_model, check_memory, model_size, parameter_groups
    from l2m.training.data import open_data
    from l2m.training.loop import to_device
    from l2m.training.loss import position_loss

    where = torch.device(pick_device(device))

    def clock() -> float:
        if where.type == "cpu":
            return time.process_time() / threads
        if where.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    inputs = find_inputs(config)
    check_memory(config, model_size(config, inputs), str(where))
    model, _ = build_model(config, str(where), inputs)
    optimizer = torch.optim.AdamW(parameter_groups(model, config.weight_decay), fused=where.type != "mps")
    batch = to_device(open_data(config, inputs).train(0, config.batch), where)
    times = []
    for _ in range(steps + 1):
        start = clock()
        for _ in range(config.accumulate):
            with torch.autocast(where.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                loss = position_loss(model, batch).mean()
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(clock() - start)
    return int(model.state_size(max(1, config.length // 2))), statistics.median(times[1:])
