"""One client against a server that answers at once: requests a minute, time spent outside waiting, memory.

    python benches/endpoint.py [--requests 100000] [--smoke]

The server is another process that reads a request and sends an answer made before, in the form of vLLM, so that all the time is the
client's. Its rate is the most that this client can send; a model answers later, and the client then waits.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from l2m.scoring.endpoint import Endpoint

TOKENS = 512
RATE = 5000 / 60  # requests a second that have to be reached


def answer(tokens: int) -> bytes:
    """What vLLM says of the ids 1, 2, 3, ..."""
    entries = [
        {str(i): {"logprob": -1.25 - i / 1024, "rank": 3, "decoded_token": " the"}} for i in range(1, tokens + 1)
    ]
    choice = {
        "index": 0,
        "text": " a",
        "logprobs": None,
        "finish_reason": "length",
        "prompt_logprobs": [None, *entries],
    }
    body = {
        "id": "cmpl-1",
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": tokens + 1, "completion_tokens": 1},
    }
    return json.dumps(body).encode()


def serve(port: Any, seconds: float) -> None:
    """HTTP/1.1 with the least that it takes."""
    about = json.dumps({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 1 << 16}]}).encode()
    ready = {tokens: answer(tokens) for tokens in (8, TOKENS)}

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.held = transport, b""

        def data_received(self, data: bytes) -> None:
            self.held += data
            while (end := self.held.find(b"\r\n\r\n")) >= 0:
                head = self.held[:end].lower()
                at = head.find(b"content-length:")
                size = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
                if len(self.held) < end + 4 + size:
                    return
                content = self.held[end + 4 : end + 4 + size]
                self.held = self.held[end + 4 + size :]
                reply = about if head.startswith(b"get") else ready[TOKENS if content.count(b",") > TOKENS else 8]
                whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(reply) + reply
                if seconds:
                    asyncio.get_running_loop().call_later(seconds, self.transport.write, whole)
                else:
                    self.transport.write(whole)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def resident() -> float:
    """MiB of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measured(tokens: int, requests: int, concurrency: int, seconds: float) -> dict[str, float]:
    """Of one run: requests a minute, CPU milliseconds a request, share of time outside waiting, memory at a tenth and at the end."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, seconds), daemon=True)
    process.start()
    endpoint = Endpoint(f"http://127.0.0.1:{ours.recv()}", start_token=0, concurrency=concurrency)
    waited = 0.0
    send = endpoint._client._session.request

    def timed(*arguments: Any, **options: Any) -> Any:
        nonlocal waited
        begun = time.perf_counter()
        try:
            return send(*arguments, **options)
        finally:
            waited += time.perf_counter() - begun

    row = np.arange(1, tokens + 1)
    batch = np.tile(row, (concurrency, 1))
    endpoint.log_prob(batch)
    endpoint._client._session.request = timed
    done, early = 0, 0.0
    wall, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(
        2
    ) as groups:  # as `l2m.score` does, so that one is sent while the other waits for its last answer
        running = {groups.submit(endpoint.log_prob, batch) for _ in range(2)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for group in ended:
                done += len(group.result()[0])
                early = early or (resident() if done >= requests // 10 else 0.0)
                if done < requests:
                    running.add(groups.submit(endpoint.log_prob, batch))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    process.terminate()
    return {
        "a minute": 60 * done / wall,
        "CPU ms": 1e3 * processor / done,
        "outside waiting": 1 - waited / (wall * concurrency),
        "of one core at 5,000 a minute": processor / done * RATE,
        "MiB early": early,
        "MiB late": resident(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--smoke", action="store_true", help="200 requests of each kind")
    options = parser.parse_args()
    kinds = [(8, 0.0, 16, options.requests), (TOKENS, 0.0, 16, 5000), (TOKENS, 0.2, 32, 5000), (TOKENS, 0.35, 32, 5000)]
    for tokens, seconds, concurrency, requests in kinds:
        found = measured(tokens, 200 if options.smoke else requests, concurrency, seconds)
        print(
            f"{tokens:>4} ids, answered after {seconds:g} s, {concurrency} at a time: "
            + ", ".join(
                f"{name} {value:,.3g}" if value < 1000 else f"{name} {value:,.0f}" for name, value in found.items()
            ),
            flush=True,
        )
