"""What a run will take: tasks shared out among workers."""

import pytest

from l2m.base.forecast import Forecast, makespan


def test_workers_take_the_next_task_when_they_are_free() -> None:
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4
    assert makespan([2, 2], 9) == 2
    assert makespan([], 3) == 0


def test_a_forecast_adds_what_every_worker_prepares_and_what_comes_last() -> None:
    forecast = Forecast(work={"pairs": 7}, tasks={"a": 3, "b": 1, "c": 1, "d": 1}, prepare=0.5, finish=0.25)
    assert forecast.seconds() == 6.75
    assert forecast.seconds(2) == 3.75
    assert forecast.seconds(shard=(1, 2)) == 2.75
    assert forecast.to_dict(2) | {"seconds": 3.75, "pairs": 7, "tasks": 4, "workers": 2} == forecast.to_dict(2)
    assert Forecast(work={"windows": 3}).seconds() is None
    with pytest.raises(TypeError):
        Forecast({"pairs": 7})  # type: ignore[misc]
