"""A request to score a corpus with a model: found, and checked against each other before anything runs."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from l2m.base import checks
from l2m.corpora.corpus import IDS, Corpus
from l2m.errors import InputError
from l2m.scoring.model_source import ModelSource, resolve_model
from l2m.scoring.ngram_entropy import NgramSource, ids_of
from l2m.scoring.prefix import Prefixed, Resolved, resolve
from l2m.scoring.scorer import settings_of
from l2m.scoring.settings import ScoreSettings
from l2m.scoring.windows import Windows


class Decoder(Protocol):
    """Turns ids into text, as `tokenizers.Tokenizer` does."""

    def decode(self, ids: list[int], skip_special_tokens: bool = ...) -> str: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be scored: see `l2m.score`.

    Attributes:
        corpus: a corpus, or an array whose rows are windows (`windows_array`).
        model: a name, what `resolve_model` found, a `transformers` model in memory, or a scorer.
        settings: everything else.
    """

    corpus: Corpus | NDArray[Any]
    model: Any
    settings: ScoreSettings

    def find(self) -> tuple[ModelSource | None, Windows]:
        """The source of the model, or of its tokenizer alone (None: neither is known), and the windows, checked against each other."""
        source, settings = None, self.settings
        if isinstance(self.model, (str, os.PathLike, ModelSource)):
            source = resolve_model(self.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code)
            check_context(source.name, source.context, settings.length)
        elif isinstance(getattr(self.model, "source", None), ModelSource):
            source = self.model.source  # the tokenizer of a model that runs elsewhere
        if source is not None and isinstance(self.corpus, Corpus):
            check_tokenizer(self.corpus, source)
        decoder = _decoder(self.corpus, source)
        windows = Windows(
            self.corpus, settings.length, count=settings.windows, seed=settings.seed, decoder=decoder,
            starts=settings.window_starts,
        )  # fmt: skip
        if settings.shuffles:
            windows.partners([0], 0)
        if settings.contexts:
            windows.contexts(1)
        return source, windows

    def ngrams(self, source: ModelSource | None) -> NgramSource:
        """What n-grams are counted of.

        Raises:
            InputError: `ngrams_from` is no corpus of ids, or one of another tokenizer.
        """
        named: Any = self.settings.ngrams_from
        if named is None:
            return NgramSource(self.corpus)
        if not isinstance(named, (str, os.PathLike, Corpus)):
            raise InputError(f"ngrams_from: {type(named).__name__}; expected a corpus, or the folder of one")
        corpus = named if isinstance(named, Corpus) else Corpus.open(named)
        if source is not None:
            check_tokenizer(corpus, source, "ngrams_from")
        if isinstance(self.corpus, Corpus) and not _same_ids(self.corpus.tokenizer, corpus.tokenizer):
            raise InputError(
                f"ngrams_from: tokenized with {corpus.tokenizer['name']!r}, the corpus that is scored with "
                f"{self.corpus.tokenizer['name']!r}; expected the same tokenizer"
            )
        return NgramSource(corpus, named=True)

    def prefixes(self, source: ModelSource | None) -> Resolved:
        """What stands before every pass."""
        contexts = [getattr(self.model, "context", None), None if source is None else source.context]
        room = min([context - self.settings.length for context in contexts if context is not None], default=math.inf)
        return resolve(self.settings.prefix, source, self.corpus, room)

    def scorer(self, source: ModelSource | None) -> Any:
        """What gives the log-probabilities, checked against the corpus."""
        settings = self.settings
        if hasattr(self.model, "log_prob"):
            scorer = self.model
        else:
            from l2m.scoring.language_model import LanguageModel

            if source is not None:
                device = settings.device or _device_of_rank()
                scorer = LanguageModel.load(
                    source, device=device, dtype=settings.dtype, start_token=settings.start_token
                )
            elif hasattr(self.model, "forward") and hasattr(self.model, "config"):
                scorer = LanguageModel.of_instance(self.model, start_token=settings.start_token)
            else:
                raise InputError(
                    f"model: {type(self.model).__name__}; expected a name, a folder, a causal model of transformers, "
                    "or a scorer with log_prob"
                )
        check_context(str(settings_of(scorer).get("name")), getattr(scorer, "context", None), settings.length)
        vocabulary, ids = getattr(scorer, "vocab_size", None), ids_of(self.corpus)
        if vocabulary is not None and ids is not None and ids.size and int(ids.max()) >= vocabulary:
            raise InputError(f"corpus: token id {int(ids.max())}; the model knows ids below {vocabulary}")
        scorer = self._after_prefixes(scorer, source)
        if settings.entropy and not hasattr(scorer, "log_prob_and_entropy"):
            raise InputError(
                f"entropy: True of {settings_of(scorer).get('name')}, which does not give it; expected one language model that runs "
                "here, without several prefixes, or a scorer with log_prob_and_entropy"
            )
        return scorer

    def _after_prefixes(self, scorer: Any, source: ModelSource | None) -> Any:
        prefixes = self.prefixes(source).ids
        if not prefixes:
            return scorer
        if hasattr(scorer, "begin") or ids_of(self.corpus) is None:
            raise InputError("prefix: text before a source that is no language model; expected 'none'")
        prefixed, largest = Prefixed(scorer, prefixes), max(map(max, filter(None, prefixes)))
        if prefixed.vocab_size is not None and largest >= prefixed.vocab_size:
            raise InputError(f"prefix: token id {largest}; the model knows ids below {prefixed.vocab_size}")
        if prefixed.context is not None and prefixed.context < self.settings.length:
            raise InputError(
                f"length: {self.settings.length} after a prefix of {prefixed.longest} tokens; the context of "
                f"{prefixed.settings.get('name')} is {scorer.context} tokens"
            )
        return prefixed


def windows_array(corpus: Any) -> Corpus | NDArray[Any]:
    """The corpus as it is, or an array (n, length) of ids or of finite real numbers.

    Raises:
        InputError: masked or missing entries, negative ids, numbers that are not finite, or no numbers.
    """
    if isinstance(corpus, Corpus):
        return corpus
    checks.no_text("corpus", corpus, IDS)
    array = checks.plain_array("corpus", corpus)
    if array.dtype.kind in "iu":
        return checks.integers("corpus", array, axes=2)
    return checks.reals("corpus", array, axes=2)


def check_context(name: str, context: int | None, length: int) -> None:
    """Refuse windows that are longer than the model's longest input."""
    if context is not None and context < length:
        raise InputError(f"length: {length}; the context of {name} is {context} tokens")


def check_tokenizer(corpus: Corpus, source: ModelSource, argument: str = "corpus") -> None:
    """Refuse a corpus made with another tokenizer than the model's own."""
    made = corpus.tokenizer.get("hash")
    if corpus.tokenizer["name"] != "ids" and made != source.tokenizer_hash:
        raise InputError(
            f"{argument}: tokenized with {corpus.tokenizer['name']!r} (hash {str(made)[:12]}); {source.name} has a tokenizer of "
            f"hash {source.tokenizer_hash[:12]}: tokenize with {source.name!r}"
        )


def _same_ids(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two corpora may have the same ids for the same text; of ids without a tokenizer nothing is known."""
    if "ids" in (one["name"], other["name"]):
        return True
    return bool(one["hash"] == other.get("hash") if one.get("hash") else one["name"] == other["name"])


class _Bytes:
    """Decodes a corpus of bytes."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return bytes(i & 255 for i in ids).decode("utf-8", "replace")


def _decoder(corpus: Corpus | NDArray[Any], source: ModelSource | None) -> Decoder | None:
    if isinstance(corpus, Corpus) and corpus.tokenizer["name"] == "bytes":
        return _Bytes()
    return None if source is None else source.tokenizer()


def _device_of_rank() -> str | None:
    """Each rank of a launcher takes its own GPU; None outside one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return None
    import torch

    rank = int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", 0)))
    return f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
