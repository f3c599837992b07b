"""Ray: tasks on a cluster. Thin: it knows neither what a task does nor where its result is kept."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from l2m.base.optional import require
from l2m.errors import InputError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_SYSTEM_RETRIES = 3  # of a task whose worker or node was lost
_WAIT_SECONDS = 0.5  # between looks for Ctrl-C


def run_on_ray(
    function: Callable[[_Task], _Result],
    tasks: Sequence[_Task] | Callable[[int], Sequence[_Task]],
    address: str,
    *,
    cpus: int = 1,
    gpus: int | None = 0,
    timeout: float = 10,
    frugal: Callable[[_Task], _Result] | None = None,
) -> Iterator[tuple[_Task, _Result]]:
    """`function(task)` for every task on the machines of a Ray cluster: (task, result) as they finish.

    A task whose worker or node is lost runs again elsewhere. A task whose worker ran out of memory is run once more, alone
    on its machine. Tasks and results travel through Ray and should be small: what is large is read and written by
    the tasks themselves, on storage that all machines share.

    Args:
        function: importable on every machine (a function of a module, or `functools.partial` of one).
        tasks: what to call it with; or a function from the number of tasks that the cluster can run at a time to the tasks.
        address: "auto" (the cluster that runs here or that RAY_ADDRESS names, else this machine), HOST:PORT of a cluster's head,
            or ray://HOST:PORT.
        cpus, gpus: what a task uses; its threads are limited to `cpus`. 0 cores: all of the smallest machine. None GPUs: one,
            if the cluster has any.
        timeout: seconds to wait for an answer from the address.
        frugal: runs a task that ran out of memory, using less of it; None: `function` again.

    Raises:
        InputError: Ray is not installed, no answer from `address`, bad input found by a task, or a task that runs out of memory
            even alone on its machine, or that loses its worker again and again.
    """
    with _connected(address, timeout) as ray:
        cpus, gpus, room = _room(ray, cpus, gpus)
        todo = tasks(room) if callable(tasks) else tasks
        yield from _run(ray, function, list(todo), {"num_cpus": cpus, "num_gpus": gpus}, frugal)


def workers_on_ray(address: str, *, cpus: int = 1, timeout: float = 10) -> int:
    """How many tasks of so many cores (0: all of the smallest machine) the cluster can run at a time."""
    with _connected(address, timeout) as ray:
        return _room(ray, cpus, 0)[2]


def _room(ray: Any, cpus: int, gpus: int | None) -> tuple[int, int, int]:
    """(cores, GPUs) of a task, and how many tasks can run at a time; see `run_on_ray`."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if gpus is None:
        machines = [machine for machine in machines if machine.get("GPU")] or machines
        gpus = int(bool(machines[0].get("GPU")))
    cpus = cpus or max(1, min(int(machine.get("CPU", 1)) for machine in machines))
    room = sum(
        int(machine.get("GPU", 0)) // gpus if gpus else int(machine.get("CPU", 1)) // cpus for machine in machines
    )
    return cpus, gpus, max(1, room)


@contextmanager
def _connected(address: str, timeout: float) -> Iterator[Any]:
    """Ray, connected to the cluster."""
    require("ray", "ray")
    import ray

    started = _connect(ray, address, timeout)
    try:
        yield ray
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str, timeout: float) -> bool:
    """Connect, unless this process is connected; whether this call did."""
    import logging

    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a measurement reports to nobody
    options = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address == "auto":
        try:
            ray.init(address="auto", **options)
        except ConnectionError:
            ray.init(include_dashboard=False, **options)
        return True
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"ray: {address!r}; expected auto, HOST:PORT or ray://HOST:PORT")
    how = "start one with `ray start --head --port=6379`, and name HOST:PORT as it prints it"
    try:
        socket.create_connection((host, int(port)), timeout).close()  # Ray itself tries for minutes
    except OSError as error:
        raise InputError(f"ray: no answer from {address} within {timeout:g} s ({error}); {how}") from None
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"ray: {address} answers, but is no Ray cluster this version can join ({error}); {how}"
        ) from None
    return True


def _run(
    ray: Any,
    function: Callable[[Any], Any],
    tasks: list[Any],
    needs: dict[str, int],
    frugal: Callable[[Any], Any] | None = None,
) -> Iterator[tuple[Any, Any]]:
    cpus = needs["num_cpus"]
    shared = ray.put(function)
    call = ray.remote(max_retries=_SYSTEM_RETRIES, **needs)(_call)
    waiting = list(reversed(tasks))
    running: dict[Any, tuple[Any, bool]] = {}
    try:
        while waiting or running:
            # Twice what can run at a time: no worker waits for the driver, and little is lost with it.
            room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)
            while waiting and len(running) < room:
                task = waiting.pop()
                running[call.remote(shared, task, cpus)] = (task, False)
            done, _ = ray.wait(list(running), timeout=_WAIT_SECONDS)
            for reference in done:
                task, alone = running.pop(reference)
                try:
                    yield task, ray.get(reference)
                except ray.exceptions.OutOfMemoryError as error:
                    if alone:
                        raise InputError(
                            f"ray: task {_name(task)!r} ran out of memory even alone on its machine; use a smaller --memory, "
                            f"or larger machines ({str(error).splitlines()[0]})"
                        ) from None
                    whole = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
                    again = call.options(**{**needs, "num_cpus": int(whole)}).remote(
                        ray.put(frugal or function), task, cpus
                    )
                    running[again] = (task, True)
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, InputError):
                        raise InputError(str(error.cause)) from None
                    raise
                except ray.exceptions.RaySystemError as error:
                    raise InputError(f"ray: task {_name(task)!r} lost its worker too often ({error})") from None
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _name(task: Any) -> str:
    return str(getattr(task, "name", task))


def _call(function: Callable[[Any], Any], task: Any, cpus: int) -> Any:
    # Read by thread pools that start later: those of this worker's first task.
    os.environ["RAYON_NUM_THREADS"] = str(cpus)
    return function(task)
