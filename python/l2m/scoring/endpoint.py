"""Scoring through a server: a scorer whose log-probabilities come over HTTP, from models too large to load here.

A server keeps no state, so a state is the ids read so far: each request holds the start token, those ids and the new ones, and
asks for the values of the new ones alone.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.devices import pick_dtype
from l2m.base.files import json_hash
from l2m.errors import InputError, ServerFault
from l2m.scoring.model_source import ModelSource, resolve_tokenizer
from l2m.scoring.server_apis import APIS, USE_ANOTHER, Answer, Api, Ask, NoPromptValues
from l2m.scoring.server_client import Client, Refused, checked_url, read_key

if TYPE_CHECKING:
    from l2m.scoring.self_test import SelfTest
    from l2m.scoring.windows import Windows

CONCURRENCY = 32
"""Requests at a time where none are named."""
_LONGEST = 1 << 20  # ids in a request to a server that does not report its longest input


class Served(NamedTuple):
    """What a server says it is."""

    model: str | None
    api: str
    max_length: int | None
    version: str | None
    root: str | None
    """The path or name the weights were loaded from."""


class Endpoint:
    """A model behind one or several HTTP servers, as a scorer: pass it to `l2m.score` or `l2m.measure` in place of a model.

    Token ids are sent, never text, each window after the start token. Before anything is scored, `l2m.scoring.server_self_test`
    looks for the ways in which servers silently give wrong numbers, and refuses.

    Args:
        url: of the server, such as "http://127.0.0.1:8000"; or several, which serve the same model.
        tokenizer: name or folder of the served model's tokenizer: gives the start token, where sentences begin and how many
            bytes a token has. None: the corpus holds ids already, and `start_token` is an id.
        model: the name it is served by. None: the only one there is.
        api: "vllm", "openai" (echo), "sglang", "lmdeploy"; "auto": what the server says it is.
        start_token: id or string of the token before each text; None: the tokenizer's own.
        api_key_file: a file that holds the key; None: the environment variable L2M_API_KEY. The key is not kept or logged.
        concurrency: requests at a time, over all servers.
        timeout: seconds until a request counts as lost.
        retries: how often a request is sent again after 429, 5xx, a lost connection or a time-out, after longer and longer
            pauses.
        dtype: the precision the server computes in ("float32", "bfloat16", ...), which bounds what the self-test takes for
            rounding. None: read from its log-probabilities.
        revision: branch, tag or commit of a tokenizer on the hub.

    Raises:
        InputError: an address, a number or a key that cannot be used. The servers are first asked when scoring begins.
    """

    state_is_ids = True

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        tokenizer: "str | os.PathLike[str] | ModelSource | None" = None,
        model: str | None = None,
        api: str = "auto",
        start_token: str | int | None = None,
        api_key_file: str | os.PathLike[str] | None = None,
        concurrency: int = CONCURRENCY,
        timeout: float = 600.0,
        retries: int = 6,
        dtype: str | None = None,
        revision: str | None = None,
    ) -> None:
        urls = [url] if isinstance(url, str) else list(url)
        if not urls:
            raise InputError("endpoint: none named; expected an address such as http://127.0.0.1:8000")
        if api != "auto" and api not in APIS:
            raise InputError(f"api: {api!r}; expected auto, {', '.join(APIS)}")
        self.concurrency = checks.whole("concurrency", concurrency, 1, 1 << 12)
        self._client = Client(
            list(dict.fromkeys(map(checked_url, urls))),
            read_key(api_key_file),
            concurrency=self.concurrency,
            timeout=checks.real("timeout", timeout, 0.0, above=True),
            retries=checks.whole("retries", retries, 0, 1000),
        )
        if dtype is not None:
            pick_dtype(dtype)
        self.dtype = dtype
        self._asked_model, self._asked_api, self._start_token = model, api, start_token
        self.source = None if tokenizer is None else resolve_tokenizer(tokenizer, revision=revision)

    def __repr__(self) -> str:
        return f"Endpoint({', '.join(self.urls)})"

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers' addresses."""
        return self._client.urls

    @cached_property
    def served(self) -> Served:
        """What the servers say they are.

        Raises:
            ServerFault: none answers, they are not the same, or none of the forms is understood.
        """
        found = [self._ask_about(url) for url in self.urls]
        for url, one in zip(self.urls[1:], found[1:], strict=True):
            if one != found[0]:
                raise ServerFault(
                    f"{url}: serves {one._asdict()}, {self.urls[0]} {found[0]._asdict()}; expected the same"
                )
        return found[0]

    @cached_property
    def api(self) -> Api:
        """The form that is spoken."""
        return APIS[self.served.api]

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """The ids before every text: the start token."""
        return np.array([self._start[0]], np.int64)

    @cached_property
    def _start(self) -> tuple[int, str | None, str]:
        token = self._start_token
        if self.source is not None:
            return self.source.start_token(token)
        if isinstance(token, str) and token.isdecimal():
            token = int(token)
        if isinstance(token, bool) or not isinstance(token, int):
            raise InputError(
                f"start_token: {token!r} without a tokenizer; expected the id of the token before each text, or a tokenizer"
            )
        return checks.whole("start_token", token, 0), None, "named by the user"

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What a store knows the model by: what the server said, the tokenizer, the start token."""
        id, name, why = self._start
        served = self.served
        about: dict[str, Any] = {
            "model": self.hash,
            "name": served.model or (self.source.name if self.source else self.urls[0]),
            "api": served.api,
            "max_length": served.max_length,
            "version": served.version,
            "root": served.root,
            **({"dtype": self.dtype} if self.dtype else {}),
            **({"tokenizer": self.source.tokenizer_hash} if self.source else {}),
            **({"start_token_name": name} if name is not None else {}),
            "start_token_reason": why,
            "start_token": id,
        }
        return about

    @cached_property
    def hash(self) -> str:
        """Of what the server says it is."""
        return f"served:{json_hash(self.served._asdict())[:32]}"

    @property
    def platform(self) -> dict[str, Any]:
        """What the numbers came from."""
        return {"api": self.served.api, "version": self.served.version}

    @cached_property
    def vocab_size(self) -> int | None:
        """Ids the tokenizer knows are below this."""
        return None if self.source is None else int(self.source.tokenizer().get_vocab_size(with_added_tokens=True))

    @property
    def context(self) -> int:
        """The longest input: what the server takes, less the start token and the one token that vLLM generates."""
        return (self.served.max_length or _LONGEST) - len(self.start) - 1

    @property
    def windows_at_once(self) -> int:
        """Windows that run side by side, so that `concurrency` requests wait for an answer."""
        return self.concurrency

    def token_budget(self) -> int:
        """A call may hold any number of tokens: each sequence is a request of its own."""
        return 1 << 40

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float64], Any]:
        """log q of each token given all before it, and the state after the last. See `l2m.scoring.scorer.Scorer`."""
        tokens = np.asarray(tokens, np.int64)
        read = np.empty((len(tokens), 0), np.int64) if state is None else np.asarray(state, np.int64)
        before = np.concatenate([np.broadcast_to(self.start, (len(tokens), len(self.start))), read], 1)
        whole = np.concatenate([before, tokens], 1)
        answers = self._client.map(self.ask, [Ask(ids=row.tolist(), start=before.shape[1]) for row in whole])
        return np.stack([answer.values for answer in answers]), whole[:, len(self.start) :]

    def ask(self, ask: Ask, url: str | None = None) -> Answer:
        """One request, its answer checked.

        Args:
            url: of the server to ask; None: any.

        Raises:
            ServerFault: see `l2m.scoring.server_apis`.
        """
        served, api = self.served, self.api
        try:
            return api.read(ask, served.model, self._client.post(api.path, api.sent(ask, served.model), url=url))
        except _MISREAD as error:
            raise self._misread(url or self.urls[0], api, error) from None

    @staticmethod
    def _misread(url: str, api: Api, error: Exception) -> ServerFault:
        """A fault with the server's address."""
        if isinstance(error, ServerFault):
            return error if str(error).startswith(url) else type(error)(f"{url}: {error}")
        return ServerFault(
            f"{url}: an answer that is not in the form of {api.name} ({type(error).__name__}: {error}); name the right --api"
        )

    def ask_all(self, asks: Sequence[Ask], url: str) -> list[Answer]:
        """Requests to one server, `concurrency` at a time."""
        return self._client.map(partial(self.ask, url=url), asks)

    def self_test(self, windows: "Windows", cuts: Sequence[int] = (), prefix: Sequence[int] = ()) -> "SelfTest":
        """The test before scoring, with a prefix after the start token: `l2m.scoring.server_self_test`."""
        from l2m.scoring.server_self_test import check_servers

        return check_servers(self, windows, prefix)

    def stop(self) -> None:
        """End whatever waits for an answer."""
        self._client.stop()

    def resume(self) -> None:
        """Take requests again after `stop`."""
        self._client.resume()

    def _ask_about(self, url: str) -> Served:
        listed = self._client.get("/v1/models", url)
        models = [entry for entry in _entries(listed) if isinstance(entry.get("id"), str)]
        # SGLang's own path; a server of /generate may have no list of models.
        about = self._client.get("/get_model_info", url) if not models or _owner(models) == "sglang" else None
        name = self._asked_model
        if models:
            names = [entry["id"] for entry in models]
            if name is not None and name not in names:
                raise ServerFault(
                    f"{url}: serves {', '.join(map(repr, names[:5]))}, not {name!r}; name one with --model, or serve it under "
                    f"that name (vLLM: --served-model-name {name})"
                )
            if name is None and len(names) > 1 and len({entry.get("root") for entry in models}) > 1:
                raise InputError(f"model: not named; {url} serves {', '.join(map(repr, names[:5]))}: name one of them")
            name = name or names[0]
        entry: Mapping[str, Any] = next((one for one in models if one["id"] == name), {})
        api = self._asked_api if self._asked_api != "auto" else self._api_of(url, _owner(models), about, name)
        length = next((entry[key] for key in _LENGTHS if type(entry.get(key)) is int and entry[key] > 0), None)
        root = entry.get("root") or (about or {}).get("model_path")
        version = None
        for path in ("/version", "/server_info", "/get_server_info") if api in ("vllm", "sglang") else ():
            told = self._client.get(path, url)
            if isinstance(told, dict):
                version = version or told.get("version")
                length = length or next((told[key] for key in _LENGTHS if type(told.get(key)) is int), None)
            if version is not None and length is not None:
                break
        return Served(
            name, api, length, version if isinstance(version, str) else None, root if isinstance(root, str) else None
        )

    def _api_of(self, url: str, owner: str | None, about: Any, model: str | None) -> str:
        """The form a server speaks: by what it says it is, else the first that gives values of a prompt."""
        if owner in APIS:
            return str(owner)
        if isinstance(about, dict) and "model_path" in about:
            return "sglang"
        reasons = []
        # Ids that every vocabulary has.
        for api in (APIS["vllm"], APIS["openai"], APIS["sglang"], APIS["lmdeploy"]):
            ask = Ask(ids=[5, 6, 7, 8, 9, 10])
            try:
                api.read(ask, model, self._client.post(api.path, api.sent(ask, model), url=url))
            except (NoPromptValues, Refused) as error:
                reasons.append((api.name, str(error).removeprefix(f"{url}{api.path}: ").removeprefix(f"{url}: ")))
                continue
            except _MISREAD as error:
                raise self._misread(url, api, error) from None
            return api.name
        told = dict(reasons)
        words = told["openai"] if "404" not in told["openai"][:4] else told["sglang"]
        raise ServerFault(
            f"{url}: {f'{owner}: ' if owner else ''}gives no log-probabilities of a prompt's ids in any known form; {words[:300]}"
            + ("" if USE_ANOTHER in words else f"; {USE_ANOTHER}")
        )


# What reading an answer of another form raises.
_MISREAD = (ServerFault, KeyError, TypeError, ValueError, AttributeError, IndexError)
_LENGTHS = ("max_model_len", "context_length", "max_context_length", "max_total_tokens")


def _entries(listed: Any) -> list[Mapping[str, Any]]:
    data = listed.get("data") if isinstance(listed, dict) else listed
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _owner(models: Sequence[Mapping[str, Any]]) -> str | None:
    owner = models[0].get("owned_by") if models else None
    return owner if isinstance(owner, str) else None
