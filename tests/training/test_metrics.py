"""metrics.jsonl: lines kept, lost and damaged."""

from pathlib import Path

import pytest

from l2m.training.loop import train
from training_runs import quick


def test_tensorboard_events_are_written_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train(quick(tensorboard=True), tmp_path / "run", device="cpu")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [2, 4, 6, 8, 10, 12]
