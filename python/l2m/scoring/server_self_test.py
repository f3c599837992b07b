"""Are a server's log-probabilities those of the ids it was sent? Asked of every server before anything is scored.

Each way in which servers were seen to give wrong numbers without a word has a probe. Most need no reference, because they
compare the server with itself:

    alignment     the next token, generated with its log-probability, has to get the same one as the last id of a prompt; an id
                  that is changed has to change its own value and none before it
    start token   another first id has to change the values that follow; ids are counted in every answer
    truncation    a prompt of the run's length has to give a value for each id, and its second half has to depend on its first
    ids           ids that text would not give back have to be answered as they are
    order, batch  the same request, before and after others and among many at once
    cache         values from late in a prompt, after its beginning was sent alone
    mass          the most probable ids have a probability of at most 1 together, and of at least their share of the vocabulary
    temperature   a prompt's values must not follow the temperature asked for
    clamps        the smallest value must not occur again and again
    model         one server must not answer as another did (several servers, or a store that was begun before)
"""

import dataclasses
import logging
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l2m.errors import ServerFault
from l2m.scoring.scorer import TOLERANCE
from l2m.scoring.self_test import SelfTest
from l2m.scoring.server_apis import Answer, Ask, Generated
from l2m.scoring.windows import Windows

log = logging.getLogger("l2m")

_SHORT = 48  # ids in the probes that need no length
_TOP = 5  # most hosts report no more
# Summed in float32 by the server and rounded to a few digits in its answer.
_MASS = 1e-3
# Differences of logits that a server computes in 16 bits are multiples of this; float32 logits are not.
_GRID = 2.0**-10
# Rounding differs in size and sign from value to value, so that its mean is far below its largest.
_MEAN = 0.2
_OTHERS = 4  # ids tried in place of one, since two ids may have the same odds


class Servers(Protocol):
    """What the tests ask of `l2m.Endpoint`, which asks for them."""

    dtype: Any
    source: Any
    concurrency: int

    @property
    def urls(self) -> tuple[str, ...]: ...

    @property
    def platform(self) -> dict[str, Any]: ...

    @property
    def start(self) -> NDArray[np.int64]: ...

    @property
    def vocab_size(self) -> int | None: ...

    def ask(self, ask: Ask, url: str | None = None) -> Answer: ...

    def ask_all(self, asks: Sequence[Ask], url: str) -> list[Answer]: ...


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the list: what was tested, whether it could be (False: the server does not report enough), what was found."""

    name: str
    tested: bool
    words: str


def check_servers(endpoint: Servers, windows: Windows, prefix: Sequence[int] = ()) -> SelfTest:
    """Test each of the endpoint's servers.

    Args:
        windows: what is going to be scored: the probes are made of the first two windows, at full length.
        prefix: the ids between the start token and each window.

    Raises:
        ServerFault: the first fault found, in one line: which one, and what to change on the server.
    """
    tokens = windows.tokens([0, min(1, len(windows) - 1)]).astype(np.int64)
    if len(windows) == 1:
        tokens[1] = np.roll(tokens[1], 1)
    probes = [_Probes(endpoint, url, tokens, prefix) for url in endpoint.urls]
    for probe in probes:
        probe.run()
    first = probes[0]
    for other in probes[1:]:
        apart = _largest(other.values, first.values)
        if apart > max(first.tolerance, other.tolerance):
            raise ServerFault(
                f"{other.url}: another model than {first.url}: the same ids differ by {apart:.2g} nats; serve the same "
                "model in the same precision from both"
            )
    differences: dict[str, float] = {}
    for probe in probes:
        for name, value in probe.differences.items():
            differences[name] = max(value, differences.get(name, 0.0))
    largest = float(np.abs(first.values).max())
    report = {
        "tokens": sum(probe.tokens for probe in probes),
        "length": windows.length,
        "tolerance": first.tolerance,
        "differences": differences,
        # What one rounding of the largest value costs in float32, in which every server sums.
        "noise_floor": max([*differences.values(), largest * 2.0**-24]),
        "recomputed_in_full": True,
        "one_by_one": False,
        "precision": first.precision,
        "findings": [[finding.name, finding.tested, finding.words] for finding in first.findings],
        "values": first.values.tolist(),
        "platform": endpoint.platform,
    }
    for finding in first.findings:
        if not finding.tested:
            log.warning(f"{first.url}: {finding.name}: not tested, {finding.words}")
    return SelfTest(recompute=True, one_by_one=False, report=report)


class _Probes:
    """The probes of one server.

    Attributes:
        tokens: how many ids were sent.
        values: of the first ids of the first window.
        differences: nats between two ways to ask for the same.
        findings: what was tested.
    """

    def __init__(self, endpoint: Servers, url: str, windows: NDArray[np.int64], prefix: Sequence[int]) -> None:
        self.endpoint, self.url = endpoint, url
        self.start = [*endpoint.start.tolist(), *map(int, prefix)]
        self.window, self.other = windows
        size = min(_SHORT, windows.shape[1])
        self.short: list[int] = [*self.start, *self.window[:size].tolist()]
        self.known = np.unique(windows)
        self.tokens = 0
        self.differences: dict[str, float] = {}
        self.findings: list[Finding] = []
        self.precision = endpoint.dtype
        self.tolerance = TOLERANCE["float32"]

    def run(self) -> None:
        """All probes, those first that say most plainly what is wrong.

        Raises:
            ServerFault: the first fault.
        """
        reference = self._ask(self.short, top=_TOP)
        self.values = reference.values
        self._mass(reference)
        self._learn_precision(reference)
        self._again()
        self._ids()
        self._temperature()
        self._alignment()
        self._whole_window()
        self._generation()
        self._clamps()

    def _ask(self, ids: Sequence[int], **options: Any) -> Answer:
        self.tokens += len(ids)
        return self.endpoint.ask(Ask(ids=ids, **options), self.url)

    def _values(self, ids: Sequence[int], start: int | None = None) -> NDArray[np.float64]:
        """Of the ids after the start token, or from `start` on."""
        return self._ask(ids, start=len(self.start) if start is None else start).values

    def _found(self, name: str, words: str, tested: bool = True) -> None:
        self.findings.append(Finding(name, tested, words))

    def _fault(self, words: str) -> ServerFault:
        return ServerFault(f"{self.url}: {words}")

    def _differ(self, name: str, values: NDArray[np.float64], reference: NDArray[np.float64], cure: str) -> float:
        """Keep a difference that has to be rounding.

        Raises:
            ServerFault: it is more.
        """
        apart, mean = _largest(values, reference), float(np.abs(values - reference).mean())
        self.differences[name] = max(apart, self.differences.get(name, 0.0))
        if apart > self.tolerance or mean > _MEAN * self.tolerance:
            hint = "" if self.endpoint.dtype else "; where the server computes in 16 bits, say so: --dtype bfloat16"
            raise self._fault(f"the same ids differ by {apart:.2g} nats {name}; {cure}{hint}")
        return apart

    # --- The distribution ---------------------------------------------------------------------------------------------

    def _mass(self, answer: Answer) -> None:
        if not answer.top:
            self._found("mass of the most probable ids", "the server does not report them", False)
            return
        masses = [math.fsum(map(math.exp, row)) for row in answer.top]
        most, vocabulary = max(masses), self.endpoint.vocab_size or 1 << 18
        least = min(mass * vocabulary / len(row) for mass, row in zip(masses, answer.top, strict=True))
        if most > 1 + _MASS or least < 0.5:
            raise self._fault(
                f"the {len(answer.top[0])} most probable ids have a probability of "
                f"{most if most > 1 + _MASS else min(masses):.3g} together: these are raw logits, no log-probabilities; start "
                "vLLM with --logprobs-mode raw_logprobs"
            )
        tops = np.array([max(row) for row in answer.top])
        if len(tops) == len(answer.values) and (answer.values > tops + self.tolerance).any():
            raise self._fault(
                "an id of the prompt has a higher log-probability than the most probable one: values and positions are "
                "shifted; use a version of the server where they agree"
            )
        self._found("mass of the most probable ids", f"at most {most:.4f} for {len(answer.top[0])} ids")

    def _learn_precision(self, answer: Answer) -> None:
        """16-bit logits differ by multiples of a power of two; the tolerance follows."""
        if self.precision is None:
            gaps = np.array([a - b for row in answer.top for a, b in pairwise(row)])
            gaps = gaps[(gaps > _GRID / 2) & (gaps < 8)] / _GRID
            if gaps.size >= 20:
                coarse = float(np.mean(np.abs(gaps - np.round(gaps)) < 0.05))
                self.precision = "bfloat16" if coarse > 0.9 else "float32"
        self.tolerance = TOLERANCE.get(str(self.precision).removeprefix("torch."), TOLERANCE["float32"])
        if self.precision is None:
            self._found(
                "precision", "the server does not report enough: float32 is assumed unless --dtype is given", False
            )
        else:
            self._found("precision", f"{self.precision}: differences up to {self.tolerance:g} nats are rounding")

    def _temperature(self) -> None:
        for temperature in (0.5, 2.0):
            apart = _largest(self._ask(self.short, temperature=temperature).values, self.values)
            if apart > self.tolerance:
                raise self._fault(
                    f"a temperature of {temperature:g} changes the prompt's log-probabilities by {apart:.2g} nats; start vLLM "
                    "with --logprobs-mode raw_logprobs, SGLang without temperature-scaled log-probabilities"
                )
        self._found("temperature", "the prompt's values do not follow it")

    def _clamps(self) -> None:
        """Improbable ids: the prompt's own in another order, and the smallest value that occurs."""
        random = np.random.default_rng(0)
        values = np.concatenate(
            [self.values, self._values([*self.start, *random.permutation(self.other)[:256].tolist()])]
        )
        smallest, count = values.min(), int((np.abs(values - values.min()) < 1e-9).sum())
        if count >= 3 and smallest < -1:
            raise self._fault(
                f"{count} log-probabilities are exactly {smallest:.6g}, the smallest: they are clamped there; turn off what masks "
                "tokens (top_k, top_p, min_p, logit_bias, guided decoding)"
            )
        self._found("clamps", f"the smallest value, {smallest:.4g} nats, does not repeat")

    def _again(self) -> None:
        """The same request twice, and once more after another."""
        cure = "values depend on order: use another version of the server (vLLM: --no-enable-prefix-caching)"
        self._differ("asked again", self._ask(self.short).values, self.values, cure)
        self._values([*self.start, *self.other[:8].tolist()])
        self._differ("asked again", self._ask(self.short).values, self.values, cure)

    # --- Positions ----------------------------------------------------------------------------------------------------

    def _ids(self) -> None:
        """Ids in an order that no text has, and repeated: text made of them gives others back."""
        random = np.random.default_rng(1)
        ids = random.permutation(np.concatenate([self.window, self.other]))[:_SHORT].tolist()
        self._values([*self.start, *ids])
        self._values([*self.start, *([ids[0]] * 8), *ids[:8]])
        self._found("ids in = ids out", "also where no text gives these ids")

    def _alignment(self) -> None:
        """Another id at a place: its own value has to change, later ones may, earlier ones must not."""
        floor = max(self.differences["asked again"], 1e-6)
        place = len(self.short) - 1 - len(self.short) // 3
        own = place - 1  # among the values, which begin at the second id
        moved, earlier, later = 0.0, 0.0, 0.0
        for id in self._others(self.short[place]):
            values = self._ask([*self.short[:place], id, *self.short[place + 1 :]]).values
            moved = max(moved, abs(float(values[own] - self.values[own])))
            earlier = max(earlier, _largest(values[:own], self.values[:own]))
            later = max(later, _largest(values[own + 1 :], self.values[own + 1 :]))
        if earlier > self.tolerance:
            raise self._fault(
                f"another id at position {place} changes the values before it by {earlier:.2g} nats: they are shifted by one, or "
                "the model is not causal; use a version of the server whose values are of their own ids"
            )
        if moved <= floor and later > floor:
            raise self._fault(
                f"another id at position {place} changes the values after it and not its own: they are shifted by one; use a "
                "version of the server whose values are of their own ids"
            )
        if max(moved, later) <= floor:
            raise self._fault(
                f"another id at position {place} changes no value: the prompt is not what is scored, or weights are missing, which "
                "some servers fill with zeros; look into its log"
            )
        few = self.short[: len(self.start) + 8]  # so few that no server truncates them
        plain = self._ask(few).values
        first = max(_largest(self._ask([id, *few[1:]]).values, plain) for id in self._others(few[0]))
        if first <= floor:
            raise self._fault(
                "another start token changes no value: the server drops it or puts its own in its place; start it so that ids "
                "are taken as they are (no add_bos_token)"
            )
        self._found("alignment", f"an id changes its own value ({moved:.2g} nats) and none before it")
        self._found("start token", f"another one changes the values ({first:.2g} nats); none is added or dropped")

    def _others(self, id: int) -> list[int]:
        """Ids in place of this one."""
        candidates = self.known[self.known != id]
        step = max(1, len(candidates) // _OTHERS)
        return [int(other) for other in candidates[::step][:_OTHERS]] or [id + 1 if id < 8 else id - 1]

    def _generation(self) -> None:
        """The most probable next token, when generated and as the last id of a prompt."""
        answer = self._ask(self.short, generate=True)
        made = answer.generated
        if made is None:
            self._found("generated token", "the server does not report its log-probability", False)
            return
        ids = [made.id] if made.id is not None else self._spelled(made)
        if not ids:
            self._found("generated token", "the server reports only its text, which is that of no id", False)
            return
        scored = [float(self._ask([*self.short, id]).values[-1]) for id in ids[:8]]
        value = min(scored, key=lambda one: abs(one - made.value))
        vocabulary = self.endpoint.vocab_size
        if vocabulary and value < -math.log(vocabulary) - self.tolerance and made.value < -math.log(vocabulary):
            raise self._fault(
                f"the most probable token has a log-probability of {value:.4g}, less than its share of {vocabulary:,}: these are raw "
                "logits; start vLLM with --logprobs-mode raw_logprobs"
            )
        apart = abs(value - made.value)
        self.differences["generated against prompt"] = apart
        if apart > self.tolerance:
            temperature = self._temperature_between(made)
            if temperature is not None:
                raise self._fault(
                    f"the prompt's log-probabilities are those of a temperature of {temperature:.2g}; start vLLM with "
                    "--logprobs-mode raw_logprobs, without a default temperature (--generation-config vllm)"
                )
            raise self._fault(
                f"the most probable token has {made.value:.4g} nats when generated and {value:.4g} as the last id of a prompt: "
                "values are shifted by one (known of llama-cpp-python where a prompt has no BOS), or of another temperature; use "
                "vLLM or SGLang"
            )
        self._found("generated token", f"the same as in a prompt (within {apart:.1g} nats)")

    def _temperature_between(self, made: Generated) -> float | None:
        """The temperature that turns the odds of generated tokens into those of a prompt's last id; None: none does."""
        if len(made.top) < 3:
            return None
        told = np.array(list(made.top.values()))
        scored = np.array([float(self._ask([*self.short, id]).values[-1]) for id in made.top])
        told, scored = told - told.mean(), scored - scored.mean()
        slope = float(told @ scored / (told @ told)) if told.any() else 0.0
        return 1 / slope if slope > 1e-3 and _largest(scored, slope * told) <= 0.05 * np.ptp(scored) else None

    def _spelled(self, made: Generated) -> list[int]:
        """Ids whose text is that of the token."""
        source, text = self.endpoint.source, made.text
        if source is None or text is None:
            return []
        tokenizer = source.tokenizer()
        own = tokenizer.token_to_id(text)
        spelled = tokenizer.decode_batch(
            [[id] for id in range(self.endpoint.vocab_size or 0)], skip_special_tokens=False
        )
        return [*([] if own is None else [own]), *(id for id, word in enumerate(spelled) if word == text)]

    # --- The run's own length -----------------------------------------------------------------------------------------

    def _whole_window(self) -> None:
        """A window alone; at once with many others; again after them; and, where prefixes are reused, from late in it."""
        length, start = len(self.window), len(self.start)
        ids = [*self.start, *self.window.tolist()]
        alone = self._values(ids)
        self._differ(
            "in a longer prompt",
            alone[: len(self.values) + 1 - start],
            self.values[start - 1 :],
            "values depend on the length, or on the cache of prefixes: turn the cache off (vLLM: --no-enable-prefix-caching; "
            "SGLang: --disable-radix-cache)",
        )
        half = length // 2
        changed = [*self.start, *self.other[:half].tolist(), *self.window[half:].tolist()]
        if not (self.other[:half] == self.window[:half]).all():
            effect = _largest(self._values(changed)[half:], alone[half:])
            if effect <= max(self.differences["asked again"], 1e-7):
                raise self._fault(
                    f"the second half of {length:,} ids does not depend on the first: the prompt is truncated; raise the server's "
                    "context (vLLM: --max-model-len, no truncate_prompt_tokens), or score a shorter --length"
                )
        self._found("truncation", f"{length:,} ids give {length:,} values, which depend on the first")
        # As the run does: many requests at once, of all lengths.
        late = [Ask(ids=ids, start=start)] * 2
        rest = [Ask(ids=[*self.start, *self.other[: 2 << k].tolist()]) for k in range(min(14, length.bit_length()))]
        many = (late + rest * (1 + self.endpoint.concurrency // len(rest)))[: max(4, self.endpoint.concurrency)]
        self.tokens += sum(len(ask.ids) for ask in many)
        for answer in self.endpoint.ask_all(many, self.url)[:2]:
            self._differ(
                "among others at once",
                answer.values,
                alone,
                "values depend on the batch: lower --concurrency to 1 (vLLM: --max-num-seqs 1), or use another version of the "
                "server",
            )
        self._found("batch", f"{self.differences['among others at once']:.1g} nats among {len(many)} requests at once")
        self._differ(
            "before and after other requests",
            self._values(ids),
            alone,
            "values depend on order: use another version of the server (vLLM: --no-enable-prefix-caching)",
        )
        self._found("order", f"{self.differences['before and after other requests']:.1g} nats after them")
        split = start + half
        self._values(ids[:split])
        self._differ(
            "after its beginning was sent",
            self._values(ids, split),
            alone[half:],
            "values depend on the cache of prefixes: turn it off (vLLM: --no-enable-prefix-caching; SGLang: "
            "--disable-radix-cache)",
        )
        self._found(
            "cache", f"{self.differences['after its beginning was sent']:.1g} nats after a prefix was sent alone"
        )


def _largest(values: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    return float(np.abs(values - reference).max(initial=0.0))
