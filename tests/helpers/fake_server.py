"""A server of log-probabilities around a small model, in four forms, with a switch for every fault that servers were seen to have.

python tests/helpers/fake_server.py FOLDER [--api vllm] [--fault shift_late] [--port 8000]
"""

import argparse
import json
import math
import threading
import time
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

FAULTS = {
    "shift_late": "each value is told one position late",
    "shift_early": "each value is told one position early",
    "wrong_row": "the value of an id comes from the odds after it (llama-cpp-python without a BOS)",
    "null_inside": "null at a position that is not the first",
    "nan_inside": "NaN at a position that is not the first",
    "bos_doubled": "a start token is put before the ids",
    "bos_doubled_untold": "as bos_doubled; the values of the added token are left out and the count is that of the ids sent",
    "bos_dropped": "the first id is dropped",
    "bos_replaced": "the first id is replaced by another",
    "retokenized": "ids are turned into text and tokenized again",
    "truncated": "only the last 40 ids are read",
    "truncated_untold": "only the last 40 ids are read; the others get made-up values",
    "generated_only": "values of generated tokens only",
    "order": "values depend on how many requests came before",
    "batch": "values depend on how many requests run at once",
    "cache": "values depend on whether the beginning was sent before",
    "raw_logits": "logits in place of log-probabilities",
    "raw_logits_negative": "logits that are all below -30, as GPT-2's are",
    "clamped": "-9999 in place of the improbable",
    "clamped_quietly": "nothing below -5.8",
    "temperature": "prompts are scored at a temperature of 0.7",
    "temperature_followed": "prompts are scored at the temperature of the request",
    "other_name": "answers come from a model of another name",
}


class FakeServer:
    """Serves until the `with` block ends.

    Args:
        folder: of a `transformers` model with its tokenizer.
        api: "vllm", "openai", "sglang" or "lmdeploy".
        faults: names from `FAULTS`.
        key: refuse requests without it.
        fail: called with the number of each request to a scoring path; gives None, a status, "cut" (half an answer, then the
            connection is closed), "garbage" or "hang".
        seconds: that each answer takes.
    """

    def __init__(
        self,
        folder,
        *,
        api="vllm",
        faults=(),
        key=None,
        fail=None,
        seconds=0.0,
        name="tiny",
        max_length=2048,
        port=0,
        scale=1.0,
    ):
        import torch

        assert set(faults) <= set(FAULTS), faults
        torch.set_num_threads(1)
        self.model, self.tokenizer = _loaded(str(folder))
        self.api, self.faults, self.key, self.fail, self.seconds = api, set(faults), key, fail, seconds
        self.name, self.max_length, self.scale = name, max_length, scale
        self.requests: list[dict[str, Any]] = []
        self.authorizations: set[str] = set()
        self.running, self.most_running = 0, 0
        self._lock, self._computing, self._kept, self._seen = threading.Lock(), threading.Lock(), {}, set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else a header and its body wait for each other's acknowledgement, 40 ms an answer.
            disable_nagle_algorithm = True

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                server._answer(self, None)

            def do_POST(self):
                server._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, request, client_address):
                pass

        self._http = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def _answer(self, handler, content):
        try:
            self._try_to_answer(handler, content)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    def _try_to_answer(self, handler, content):
        given = handler.headers.get("Authorization", "")
        self.authorizations.add(given)
        if self.key is not None and given != f"Bearer {self.key}":
            return self._say(handler, 401, {"error": {"message": f"wrong key {given!r}"}})
        if content is None:
            about = self._about(handler.path)
            return self._say(handler, 200 if about is not None else 404, about or {"detail": "Not Found"})
        path = "/v1/completions" if self.api in ("vllm", "openai") else "/generate"
        if handler.path != path:
            return self._say(handler, 404, {"detail": "Not Found"})
        body = json.loads(content)
        with self._lock:
            self.requests.append(body)
            number = len(self.requests)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            failure = self.fail(number) if self.fail else None
            if self.seconds or failure == "hang":
                time.sleep(5.0 if failure == "hang" else self.seconds)
            if isinstance(failure, int):
                return self._say(handler, failure, {"error": {"message": "busy"}})
            if failure == "garbage":
                return self._say(handler, 200, None, b"<html>a proxy</html>")
            status, answer = self._scored(body, number)
            return self._say(handler, status, answer, cut=failure == "cut")
        finally:
            with self._lock:
                self.running -= 1

    def _say(self, handler, status, value, content=None, cut=False):
        content = json.dumps(value).encode() if content is None else content
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            handler.close_connection = True

    def _about(self, path):
        owner = {"openai": "somebody"}.get(self.api, self.api)
        if path == "/v1/models":
            entry = {"id": self.name, "object": "model", "owned_by": owner, "max_model_len": self.max_length}
            return {"object": "list", "data": [entry]}
        if path == "/version" and self.api == "vllm":
            return {"version": "0.32.0"}
        if path == "/get_model_info" and self.api == "sglang":
            return {"model_path": "somebody/tiny"}
        if path == "/get_server_info" and self.api == "sglang":
            return {"version": "0.5.23"}
        return None

    # --- Log-probabilities --------------------------------------------------------------------------------------------

    def _logits(self, ids):
        """(n, vocabulary): odds of the id after each one."""
        import torch

        key = tuple(ids)
        with self._computing:
            if key not in self._kept:
                with torch.inference_mode():
                    self._kept[key] = self.model(torch.tensor([ids])).logits[0].double().numpy() * self.scale
                if len(self._kept) > 64:
                    self._kept.pop(next(iter(self._kept)))
            return self._kept[key]

    def _scored(self, body, number):
        ids = body.get("prompt", body.get("input_ids"))
        if not (isinstance(ids, list) and ids and all(isinstance(id, int) for id in ids)):
            return 422, {"detail": "expected a list of ids"}
        if len(ids) + 1 > self.max_length and not self.faults & {"truncated", "truncated_untold"}:
            return 400, {
                "error": {"message": f"maximum context length is {self.max_length} tokens, {len(ids)} were given"}
            }
        parameters = body.get("sampling_params", body)
        wanted = body.get("prompt_logprobs", body.get("logprobs", body.get("top_logprobs_num", 0))) or 0
        if wanted > 20:
            return 400, {"error": {"message": "at most 20"}}
        made = parameters.get("max_tokens") if self.api in ("vllm", "openai") else parameters.get("max_new_tokens")
        read = self._read(ids)
        odds = self._odds(read, parameters.get("temperature", 1.0), number)
        values = [None, *(float(row[id]) for row, id in zip(odds, read[1:], strict=False))]
        if "wrong_row" in self.faults:
            values[1:] = [float(row[id]) for row, id in zip(odds[1:], read[1:], strict=False)]
        ranked = [None, *(np.argsort(-row)[:wanted].tolist() for row in odds[:-1])]
        read, values, ranked, odds = self._told(ids, read, values, ranked, odds)
        generated = [] if not made else self._plain(odds, self._logits(read))
        if self.api == "vllm":
            return 200, self._completion(read, values, ranked, odds, generated, body, echo=False)
        if self.api == "openai":
            return 200, self._completion(read, values, ranked, odds, generated, body, echo=True)
        return 200, self._generate(read, values, ranked, odds, generated, body)

    def _plain(self, odds, logits):
        """[id, log-probability] of the five most probable next tokens, right whatever befalls the prompt's values, as in servers
        with these faults; the first is generated."""
        row = odds[-1] if self.faults & {"raw_logits", "raw_logits_negative"} else _softmax(logits[-1])
        return [(int(id), float(row[id])) for id in np.argsort(-row)[:5]]

    def _read(self, ids):
        """The ids that the model is run on."""
        vocabulary = self.tokenizer.get_vocab_size()
        if self.faults & {"bos_doubled", "bos_doubled_untold"}:
            ids = [0, *ids]
        if "bos_dropped" in self.faults and len(ids) > 1:
            ids = ids[1:]
        if "bos_replaced" in self.faults:
            ids = [vocabulary // 2, *ids[1:]]
        if "retokenized" in self.faults:
            ids = self.tokenizer.encode(self.tokenizer.decode(ids, skip_special_tokens=False)).ids
        if self.faults & {"truncated", "truncated_untold"}:
            ids = ids[-40:]
        return ids

    def _odds(self, ids, temperature, number):
        """(n, vocabulary) log-probabilities, or what the faults make of them."""
        logits = self._logits(ids)
        if "raw_logits" in self.faults:
            return logits + 3.0
        if "raw_logits_negative" in self.faults:
            return logits - 35.0
        if "temperature" in self.faults:
            logits = logits / 0.7
        if "temperature_followed" in self.faults:
            logits = logits / max(temperature, 1e-2)
        odds = _softmax(logits)
        if "order" in self.faults:
            odds = odds - 0.02 * (number % 7)
        if "batch" in self.faults:
            odds = odds - 0.5 * (self.running - 1)
        if "cache" in self.faults:
            known = any(tuple(ids[:cut]) in self._seen for cut in range(len(ids) // 3, len(ids)))
            self._seen.add(tuple(ids))
            odds = odds - 0.3 * known
        if "clamped" in self.faults:
            odds = np.where(odds < np.sort(odds, axis=1)[:, -20:-19], -9999.0, odds)
        if "clamped_quietly" in self.faults:
            odds = np.maximum(odds, -5.8)
        return odds

    def _told(self, ids, read, values, ranked, odds):
        """What the answer holds, after the faults of telling."""
        if "shift_late" in self.faults:
            values, ranked = [None, *values[:-1]], [None, *ranked[:-1]]
            values[1:2] = [-1.5] * (len(values) > 1)
        if "shift_early" in self.faults:
            values, ranked = [None, *values[2:], -1.5][: len(values)], [None, *ranked[2:], ranked[-1]][: len(ranked)]
        if "null_inside" in self.faults and len(values) > 6:
            values[5] = None
        if "nan_inside" in self.faults and len(values) > 6:
            values[5] = math.nan
        if "bos_doubled_untold" in self.faults:
            read, values, ranked, odds = read[1:], values[1:], ranked[1:], odds[1:]
        if "bos_replaced" in self.faults:
            read = ids
        if "truncated_untold" in self.faults and len(ids) > len(read):
            lost = len(ids) - len(read)
            values = [None, *[-2.0 - 1e-3 * place for place in range(lost)], *values[1:]]
            ranked = [*ranked[:1], *[ranked[-1]] * lost, *ranked[1:]]
            odds = np.concatenate([np.repeat(odds[:1], lost, 0), odds])
            read = ids
        return read, values, ranked, odds

    def _completion(self, read, values, ranked, odds, generated, body, echo):
        words = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None}

        def word(id):
            return f"token_id:{id}" if body.get("return_tokens_as_token_ids") else self.tokenizer.decode([id])

        if echo and body.get("echo") and "generated_only" not in self.faults:
            for place, (id, value) in enumerate(zip(read, values, strict=False)):
                words["tokens"].append(word(id))
                words["token_logprobs"].append(value)
                best = ranked[place] if place < len(ranked) and ranked[place] is not None else None
                row = None if best is None else {f"{word(i)}#{i}": float(odds[place - 1][i]) for i in best}
                words["top_logprobs"].append(row)
        if "generated_only" in self.faults and not generated:
            generated = [(1, -1.0)]
        for id, value in generated[:1]:
            words["tokens"].append(word(id))
            words["token_logprobs"].append(value)
            words["top_logprobs"].append({word(id): value for id, value in generated})
        if body.get("logprobs") is not None:
            choice["logprobs"] = words
        if not echo and "generated_only" not in self.faults and body.get("prompt_logprobs") is not None:
            entries: list[Any] = [None]
            for place in range(1, len(read)):
                if values[place] is None:
                    entries.append(None)
                    continue
                best = dict.fromkeys(ranked[place] or [])
                entry = {str(i): {"logprob": float(odds[place - 1][i]), "rank": r + 1} for r, i in enumerate(best)}
                entry[str(read[place])] = {"logprob": values[place], "rank": 1, "decoded_token": "x"}
                entries.append(entry)
            if values[0] is not None:
                entries[0] = {str(read[0]): {"logprob": values[0], "rank": 1}}
            choice["prompt_logprobs"] = entries
        usage = {"prompt_tokens": len(read), "completion_tokens": len(generated[:1])}
        return {"model": "other" if "other_name" in self.faults else self.name, "choices": [choice], "usage": usage}

    def _generate(self, read, values, ranked, odds, generated, body):
        start = body["logprob_start_len"]
        about: dict[str, Any] = {"prompt_tokens": len(read), "completion_tokens": len(generated[:1])}
        if "generated_only" not in self.faults:
            first = [values[0] if start == 0 else None, read[start], None]
            rest = [[value, id, None] for value, id in zip(values[start + 1 :], read[start + 1 :], strict=False)]
            about["input_token_logprobs"] = [first, *rest]
            if body.get("top_logprobs_num"):
                rows = [
                    [[float(odds[place - 1][i]), i, None] for i in ranked[place] or []]
                    for place in range(start + 1, min(len(read), len(ranked)))
                ]
                about["input_top_logprobs"] = [None, *rows]
        about["output_token_logprobs"] = [[value, id, None] for id, value in generated[:1]]
        if body.get("top_logprobs_num"):
            about["output_top_logprobs"] = [[[value, id, None] for id, value in generated]]
        return {"text": "", "meta_info": about}


@lru_cache(2)
def _loaded(folder):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, Tokenizer.from_file(f"{folder}/tokenizer.json")


def _softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--api", default="vllm")
    parser.add_argument("--fault", action="append", default=[], choices=FAULTS)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    with FakeServer(options.folder, api=options.api, faults=options.fault, port=options.port) as served:
        print(served.url, flush=True)
        threading.Event().wait()
