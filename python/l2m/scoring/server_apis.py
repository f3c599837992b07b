"""The four forms in which servers give log-probabilities of a prompt: what is sent, and how the answer is read.

    vllm      POST /v1/completions   prompt_logprobs: {id: {logprob}} for each id of the prompt, the first null
    openai    POST /v1/completions   echo: logprobs.token_logprobs, one value for each token, the first null
    sglang    POST /generate         meta_info.input_token_logprobs: [logprob, id, text] from logprob_start_len on
    lmdeploy  POST /generate         meta_info.input_token_logprobs: [logprob, id] from logprob_start_len on

Ids go in, never text. What an answer reports in addition (ids, counts, the model's name) is compared with what was sent, in
every answer.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.errors import ServerFault

# vLLM writes -9999 for minus infinity; no log-probability of a softmax in float32 is below -1,000.
_FLOOR = -1000.0
USE_ANOTHER = "use vLLM, SGLang or LMDeploy"


class NoPromptValues(ServerFault):
    """The server does not give log-probabilities of a prompt in this form."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask:
    """One request.

    Attributes:
        ids: the prompt.
        start: log-probabilities of ids[start:] are wanted; start >= 1, for the first id has none.
        top: how many of the most probable ids to report at each position.
        temperature: of the sampling parameters; log-probabilities of a prompt must not depend on it.
        generate: report the most probable next token as well.
    """

    ids: Sequence[int]
    start: int = 1
    top: int = 0
    temperature: float = 1.0
    generate: bool = False


class Generated(NamedTuple):
    """The next token: its id (None where only its text is reported), text, log-probability; those of the most probable ids."""

    id: int | None
    text: str | None
    value: float
    top: Mapping[int, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered.

    Attributes:
        values: log-probabilities of ids[start:], nats.
        top: the log-probabilities of the most probable ids at each of these positions; empty where the server does not report them.
        generated: None where the server does not report it.
    """

    values: NDArray[np.float64]
    top: list[list[float]]
    generated: Generated | None


class Api:
    """One form. `sent(ask, model)` is the body to post to `path`; `read` checks the answer."""

    name: ClassVar[str]
    path: ClassVar[str]
    reuses_prefixes: ClassVar[bool] = False
    """Whether a request for late values only is cheaper where the server has the beginning in its cache."""

    def sent(self, ask: Ask, model: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def read(self, ask: Ask, model: str | None, answer: Any) -> Answer:
        """The answer to `ask`.

        Raises:
            ServerFault: it is not what was asked for; the line says which fault and what to change.
        """
        raise NotImplementedError


class Completions(Api):
    """What both forms of /v1/completions share."""

    path = "/v1/completions"

    def choice(self, ask: Ask, model: str | None, answer: Any) -> Mapping[str, Any]:
        told = answer.get("model") if isinstance(answer, dict) else None
        if model is not None and isinstance(told, str) and told != model:
            raise ServerFault(
                f"another model: {told!r} answered a request to {model!r}; route {model!r} to one server (--model {told} "
                "scores with the other)"
            )
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            raise NoPromptValues(
                f"no choices in the answer to {self.path}; expected a server of completions: {USE_ANOTHER}"
            )
        usage = answer.get("usage")
        counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if type(counted) is int:
            require_count(len(ask.ids), counted)
        return choices[0]


class VLLM(Completions):
    """`prompt_logprobs`: each entry names the id it is of."""

    name = "vllm"

    def sent(self, ask: Ask, model: str | None) -> dict[str, Any]:
        body: dict[str, Any] = {
            **({} if model is None else {"model": model}),
            "prompt": list(ask.ids),
            "max_tokens": 1,
            "prompt_logprobs": ask.top,
            "temperature": 0.0 if ask.generate else ask.temperature,
        }
        return {**body, "logprobs": 5, "return_tokens_as_token_ids": True} if ask.generate else body

    def read(self, ask: Ask, model: str | None, answer: Any) -> Answer:
        choice = self.choice(ask, model, answer)
        entries = choice.get("prompt_logprobs")
        if not isinstance(entries, list):
            raise NoPromptValues(
                "no prompt_logprobs in the answer: only generated tokens have log-probabilities here; "
                "expected those of the prompt: use vLLM, SGLang or LMDeploy, or --api openai where echo is known"
            )
        require_count(len(ask.ids), len(entries))
        values: list[Any] = []
        top: list[list[float]] = []
        for id, entry in zip(ask.ids[ask.start :], entries[ask.start :], strict=True):
            own = entry.get(str(id)) if isinstance(entry, dict) else None
            if entry is not None and own is None:
                raise ServerFault(other_ids(len(values) + ask.start))
            values.append(None if own is None else own.get("logprob"))
            if ask.top and isinstance(entry, dict):
                top.append(sorted((float(e["logprob"]) for e in entry.values()), reverse=True)[: ask.top])
        first = entries[0]
        if isinstance(first, dict):
            require_none_first(next((e.get("logprob") for e in first.values() if isinstance(e, dict)), None))
        return Answer(values=checked_values(values, ask.start), top=top, generated=_generated(choice, 0))


class OpenAI(Completions):
    """`echo`: the prompt comes back with values, as text; ids are not reported, so tokens are counted."""

    name = "openai"

    def sent(self, ask: Ask, model: str | None) -> dict[str, Any]:
        return {
            **({} if model is None else {"model": model}),
            "prompt": list(ask.ids),
            "max_tokens": 1 if ask.generate else 0,
            "echo": True,
            "logprobs": ask.top,
            "temperature": 0.0 if ask.generate else ask.temperature,
        }

    def read(self, ask: Ask, model: str | None, answer: Any) -> Answer:
        choice = self.choice(ask, model, answer)
        logprobs = choice.get("logprobs")
        values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
        if not isinstance(values, list):
            raise NoPromptValues(f"echo and logprobs are ignored: no log-probabilities of the prompt; {USE_ANOTHER}")
        wanted, usage = len(ask.ids) + ask.generate, answer.get("usage")
        made = usage.get("completion_tokens") if isinstance(usage, dict) else None
        if len(values) <= 1 < len(ask.ids) or (type(made) is int and len(values) == made < len(ask.ids)):
            raise NoPromptValues(
                f"echo is ignored: {len(values)} values, of generated tokens only, for a prompt of {len(ask.ids)} ids; "
                f"expected those of the prompt: {USE_ANOTHER}"
            )
        if not ask.generate and type(made) is int and 0 < made == len(values) - len(ask.ids):
            values = values[: len(ask.ids)]  # a server that generates at least one token
        require_count(wanted, len(values))
        require_none_first(values[0])
        ranked = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
        top = []
        if ask.top and isinstance(ranked, list):
            entries = ranked[ask.start : len(ask.ids)]
            top = [sorted(map(float, entry.values()), reverse=True)[: ask.top] for entry in entries if entry]
        last = _generated(choice, len(ask.ids)) if ask.generate else None
        return Answer(
            values=checked_values(values[ask.start : len(ask.ids)], ask.start),
            top=top,
            generated=last,
        )


class SGLang(Api):
    """Values from `logprob_start_len` on: the prompt before it is taken from the cache of prefixes."""

    name, path = "sglang", "/generate"
    reuses_prefixes = True

    def sent(self, ask: Ask, model: str | None) -> dict[str, Any]:
        return {
            "input_ids": list(ask.ids),
            "sampling_params": {
                "max_new_tokens": 1 if ask.generate else 0,
                "temperature": 0.0 if ask.generate else ask.temperature,
            },
            "return_logprob": True,
            "logprob_start_len": ask.start - 1,
            **({"top_logprobs_num": 5 if ask.generate else ask.top} if ask.top or ask.generate else {}),
        }

    def read(self, ask: Ask, model: str | None, answer: Any) -> Answer:
        about = answer.get("meta_info") if isinstance(answer, dict) else None
        if not isinstance(about, dict):
            raise NoPromptValues(
                f"no meta_info in the answer to {self.path}; expected {self.name}: name the right --api"
            )
        if type(counted := about.get("prompt_tokens")) is int:
            require_count(len(ask.ids), counted)
        entries = about.get("input_token_logprobs")
        if not isinstance(entries, list):
            raise NoPromptValues(
                "no input_token_logprobs in the answer: only generated tokens have log-probabilities here; expected those "
                "of the prompt (LMDeploy: version 0.18 or later)"
            )
        # From the entry before the first that is wanted, which has no value; some leave that one out.
        wanted = len(ask.ids) - ask.start
        if len(entries) not in (wanted, wanted + 1):
            require_count(wanted + 1, len(entries))
        if len(entries) == wanted + 1 and ask.start == 1:
            require_none_first(_value(entries[0]))
        entries = entries[len(entries) - wanted :]
        for place, (entry, id) in enumerate(zip(entries, ask.ids[ask.start :], strict=True)):
            told = entry[1] if isinstance(entry, list) and len(entry) > 1 else None
            if type(told) is int and told != id:
                raise ServerFault(other_ids(place + ask.start))
        ranked = about.get("input_top_logprobs")
        top = []
        if ask.top and isinstance(ranked, list):
            rows = ranked[len(ranked) - wanted :]
            top = [sorted((float(e[0]) for e in row), reverse=True)[: ask.top] for row in rows if row]
        made = about.get("output_token_logprobs")
        generated = None
        if (
            ask.generate
            and isinstance(made, list)
            and made
            and isinstance(made[0], list)
            and _value(made[0]) is not None
        ):
            best = about.get("output_top_logprobs")
            rows = best[0] if isinstance(best, list) and best and isinstance(best[0], list) else []
            generated = Generated(made[0][1], None, float(made[0][0]), {row[1]: float(row[0]) for row in rows})
        return Answer(
            values=checked_values([_value(entry) for entry in entries], ask.start), top=top, generated=generated
        )


class LMDeploy(SGLang):
    """As SGLang's, with LMDeploy's names for the sampling parameters."""

    name, reuses_prefixes = "lmdeploy", False

    def sent(self, ask: Ask, model: str | None) -> dict[str, Any]:
        return {
            "input_ids": list(ask.ids),
            "max_new_tokens": 1 if ask.generate else 0,
            "max_tokens": 1,
            "temperature": 0.0 if ask.generate else ask.temperature,
            "return_logprob": True,
            "logprob_start_len": ask.start - 1,
        }


APIS: dict[str, Api] = {api.name: api for api in (VLLM(), OpenAI(), SGLang(), LMDeploy())}


def require_count(sent: int, counted: int) -> None:
    """Refuse an answer about another number of tokens than was sent.

    Raises:
        ServerFault: naming what adds or drops tokens.
    """
    if counted == sent:
        return
    if counted == sent + 1:
        what, cure = "it adds a start token", "start it so that ids are taken as they are (no add_bos_token)"
    elif counted == sent - 1:
        what, cure = (
            "it drops the start token, or shifts the values by one",
            "start it so that ids are taken as they are",
        )
    elif counted < sent:
        what, cure = (
            "the prompt is truncated, or turned into text and tokenized again",
            "raise its context (vLLM: --max-model-len, no truncate_prompt_tokens), or score a shorter --length",
        )
    else:
        what, cure = "ids are turned into text and tokenized again", f"expected ids as they are: {USE_ANOTHER}"
    raise ServerFault(f"{sent:,} ids were sent and it counts {counted:,}: {what}; {cure}")


def other_ids(place: int) -> str:
    """The fault where an answer is about other ids than were sent."""
    return (
        f"the answer is about other ids than were sent (the first at position {place}): they are turned into text and "
        f"tokenized again, or shifted by one; expected ids as they are: {USE_ANOTHER}"
    )


def require_none_first(value: Any) -> None:
    """Refuse a log-probability for the first id: nothing comes before it, unless the server put something there."""
    if isinstance(value, (int, float)) and math.isfinite(value) and value != 0:
        raise ServerFault(
            f"the first id has a log-probability ({value:.4g}): the server puts a start token before it, or shifts the "
            "values by one; start it so that ids are taken as they are (no add_bos_token)"
        )


def checked_values(values: Sequence[Any], start: int) -> NDArray[np.float64]:
    """The values as numbers.

    Raises:
        ServerFault: a null, what is not finite, a value that means minus infinity, or one above 0.
    """
    for place, value in enumerate(values):
        if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
            raise ServerFault(
                f"null at position {place + start}; only the first id may have none. Turn off what skips the prompt (vLLM: "
                "--no-enable-prefix-caching; others: caches of prefixes, speculative decoding)"
            )
    array = np.asarray(values, np.float64)
    if array.size and array.min() <= _FLOOR:
        raise ServerFault(
            f"a log-probability of {array.min():.6g} at position {int(array.argmin()) + start}, which means minus "
            "infinity: tokens are ruled out; turn off what masks or clamps (top_k, top_p, min_p, logit_bias, "
            "bad words, guided decoding)"
        )
    if array.size and array.max() > 1e-3:
        raise ServerFault(
            f"a log-probability of {array.max():.4g} at position {int(array.argmax()) + start}; expected none above 0: these "
            "are raw logits; start vLLM with --logprobs-mode raw_logprobs"
        )
    return array


def _value(entry: Any) -> Any:
    return entry[0] if isinstance(entry, list) and entry else entry if isinstance(entry, (int, float)) else None


def _generated(choice: Mapping[str, Any], place: int) -> Generated | None:
    """The token generated after the prompt, from `logprobs`, where it is the entry number `place`."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return None
    values, tokens = logprobs.get("token_logprobs"), logprobs.get("tokens")
    if not (isinstance(values, list) and len(values) > place and isinstance(values[place], (int, float))):
        return None
    text = tokens[place] if isinstance(tokens, list) and len(tokens) > place else None
    ranked = logprobs.get("top_logprobs")
    row = ranked[place] if isinstance(ranked, list) and len(ranked) > place and isinstance(ranked[place], dict) else {}
    top = {_token_id(name): float(value) for name, value in row.items()}
    known = {id: value for id, value in top.items() if id is not None}
    return Generated(_token_id(text), text, float(values[place]), known)


def _token_id(text: Any) -> int | None:
    """The id in "token_id:123", as vLLM writes tokens where it is asked to."""
    number = text.removeprefix("token_id:") if isinstance(text, str) else ""
    return int(number) if number != text and number.isdecimal() else None
