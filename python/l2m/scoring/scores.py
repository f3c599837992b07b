"""What a score store holds, as arrays: the log-probabilities every estimator reads."""

import copy
import logging
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.errors import InputError
from l2m.scoring.ngram_entropy import NgramEntropies, read_ngram_entropies
from l2m.scoring.store import Asked, Piece, Store

SCORES = "the Scores of l2m.score, or of l2m.Scores.open(folder)"
"""What is expected where scores are meant."""

log = logging.getLogger("l2m")


class Scores:
    """Token-wise log-probabilities, read from a folder that `l2m.score` wrote.

    Windows are the rows of every array; what has not been scored yet is NaN.

    Attributes:
        folder: where they are kept.
        settings: the corpus, the model and how windows were cut.
        documents: int64, (windows,): the document each window is from.
        starts: int64, (windows,): its first token within the document.
        asked: what the runs of this store were asked for, all together.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.folder = store.folder
        self.settings = store.settings
        self._pieces = list(store.pieces())
        self.asked: Asked = store.asked()
        if self._pieces and store.sealed and not self.asked.windows:
            raise InputError(f"{self.folder}: no asked-*.json; run the same `l2m score` again to make it")
        count = 1 + max((max(piece.info["windows"]) for piece in self._pieces), default=-1)
        self.documents = np.full(count, -1, np.int64)
        self.starts = np.full(count, -1, np.int64)
        for piece in self._pieces:
            self.documents[piece.info["windows"]] = piece.info["documents"]
            self.starts[piece.info["windows"]] = piece.info["starts"]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Scores":
        """Read a score folder.

        Raises:
            InputError: not a score folder, or a damaged file.
        """
        return cls(Store(checks.path("path", path)).open())

    def subset(self, windows: Sequence[int] | NDArray[np.int64]) -> "Scores":
        """The scores of some windows alone, by number, as if the store held and was asked for no others.

        Raises:
            InputError: numbers that are no windows of this store, or none.
        """
        rows = np.array(checks.wholes("windows", windows, 0, len(self) - 1), np.int64)
        if not rows.size:
            raise InputError("windows: none; expected the numbers of some")
        part = copy.copy(self)
        # Everything that is read of the windows; `asked` and the self-tests are the store's.
        for name in ("documents", "starts", "conditional", "entropy", "bytes", "characters"):
            setattr(part, name, getattr(self, name)[rows])
        part.partners = tuple(row[rows] for row in self.partners)
        part._marginal = {split: values[rows] for split, values in self._marginal.items()}
        part._contexts = {split: values[rows] for split, values in self._contexts.items()}
        part._shuffled = {
            shuffle: {split: values[rows] for split, values in of_shuffle.items()}
            for shuffle, of_shuffle in self._shuffled.items()
        }
        part.asked = self.asked._replace(windows=rows.size)
        return part

    def __len__(self) -> int:
        """The number of windows."""
        return self.documents.size

    def __repr__(self) -> str:
        return f"Scores({self.folder}, {len(self)} windows of {self.length} tokens, splits {list(self.splits)}, {self.shuffles} shuffles)"

    @property
    def windows_asked(self) -> int:
        """Windows that runs were asked for, or more where the store holds more."""
        return max(len(self), self.asked.windows)

    @property
    def length(self) -> int:
        """Tokens per window."""
        return int(self.settings["length"])

    @property
    def splits(self) -> tuple[int, ...]:
        """Every l for which log q(Y) has been scored."""
        return tuple(sorted(self._marginal))

    @property
    def shuffles(self) -> int:
        """Shuffled partners per window."""
        return len(self.partners)

    @cached_property
    def conditional(self) -> NDArray[np.float32]:
        """(windows, length): log q(w_i | start, w_1 .. w_{i-1})."""
        return self._whole("conditional")

    @cached_property
    def entropy(self) -> NDArray[np.float32]:
        """(windows, length): entropy of the model's prediction of w_i, nats: - sum over w of q log q of q(w | start, w_1 .. w_{i-1})."""
        return self._whole("entropy")

    def marginal(self, split: int) -> NDArray[np.float32]:
        """(windows, tokens of the longest Y): log q(y_j | start, y_1 .. y_{j-1}) of the Y that follows `split`."""
        return self._known(self._marginal, split)

    def shuffled(self, split: int, shuffle: int) -> NDArray[np.float32]:
        """(windows, tokens of the longest Y): log q(y'_j | start, X, y'_1 .. y'_{j-1}) of the partner's Y."""
        return self._known(self._shuffled.get(shuffle, {}), split)

    @cached_property
    def partners(self) -> tuple[NDArray[np.int64], ...]:
        """For each shuffle the partners' documents, (windows,); -1 where not scored."""
        found: dict[int, NDArray[np.int64]] = {}
        for piece in self._of("shuffled"):
            row = found.setdefault(piece.info["shuffle"], np.full(len(self), -1, np.int64))
            row[piece.info["windows"]] = piece.info["partners"]
        return tuple(found[shuffle] for shuffle in sorted(found))

    @property
    def contexts(self) -> int:
        """Contexts that the first two tokens of each Y were scored after; 0 for none."""
        return max((values.shape[1] for values in self._contexts.values()), default=0)

    def given_contexts(self, split: int) -> NDArray[np.float32]:
        """(windows, contexts): log q(y1 y2 | context) of the Y that follows `split`, for contexts of other documents."""
        return self._known(self._contexts, split)

    @cached_property
    def ngrams(self) -> NgramEntropies:
        """Entropies of the corpus's n-grams, their coverage, and what they were counted of."""
        kept = read_ngram_entropies(self._store)
        if kept.source != "windows" and (few := kept.too_few(2)):
            log.warning(f"{self.folder}: {few}")
        return kept

    @property
    def ngram_entropy(self) -> dict[int, float]:
        """n -> Grassberger's entropy, in nats, of the corpus's n-grams."""
        return self.ngrams.entropy

    @cached_property
    def bytes(self) -> NDArray[np.float64]:
        """(windows,): bytes of text in each window; NaN where unknown."""
        return self._text_sizes("bytes")

    @cached_property
    def characters(self) -> NDArray[np.float64]:
        """(windows,): characters of text in each window; NaN where unknown, as in stores of versions before 0.2."""
        return self._text_sizes("characters")

    def self_tests(self) -> list[dict[str, Any]]:
        """What the self-tests measured, one entry per kind of machine that scored.

        Raises:
            InputError: none is there, though passes are; or one was changed or damaged.
        """
        reports = self._store.self_tests()
        if self._pieces and not reports:
            raise InputError(f"{self._store.folder}: no self-test-*.json; run the same `l2m score` again to make it")
        return reports

    @property
    def noise_floor(self) -> float | None:
        """Largest difference, in nats, between two ways to compute the same log-probability."""
        return max((test["noise_floor"] for test in self.self_tests() if test["noise_floor"] is not None), default=None)

    def _whole(self, kind: str) -> NDArray[np.float32]:
        values = np.full((len(self), self.length), np.nan, np.float32)
        for piece in self._of(kind):
            values[piece.info["windows"]] = piece.values[""]
        return values

    def _text_sizes(self, name: str) -> NDArray[np.float64]:
        values = np.full(len(self), np.nan)
        for piece in self._of("conditional"):
            if piece.info.get(name) is not None:
                values[piece.info["windows"]] = piece.info[name]
        return values

    def _of(self, kind: str) -> list[Piece]:
        return [piece for piece in self._pieces if piece.kind == kind]

    def _known(self, arrays: dict[int, NDArray[np.float32]], split: int) -> NDArray[np.float32]:
        if split not in arrays:
            raise InputError(f"split: {split} has not been scored; {self.folder} holds {sorted(arrays)}")
        return arrays[split]

    @cached_property
    def _marginal(self) -> dict[int, NDArray[np.float32]]:
        return self._gather("marginal").get(None, {})

    @cached_property
    def _shuffled(self) -> dict[int | None, dict[int, NDArray[np.float32]]]:
        return self._gather("shuffled")

    @cached_property
    def _contexts(self) -> dict[int, NDArray[np.float32]]:
        return self._gather("contexts").get(None, {})

    def _gather(self, kind: str) -> dict[int | None, dict[int, NDArray[np.float32]]]:
        """shuffle -> split -> array. Where a longer Y was scored later, its values are taken."""
        pieces = sorted(self._of(kind), key=lambda piece: max(v.shape[1] for v in piece.values.values()))
        arrays: dict[int | None, dict[int, NDArray[np.float32]]] = {}
        for piece in pieces:
            of_shuffle = arrays.setdefault(piece.info.get("shuffle"), {})
            for name, values in piece.values.items():
                split, size = int(name), values.shape[1]
                array = of_shuffle.get(split, np.empty((len(self), 0), np.float32))
                if array.shape[1] < size:
                    padding = np.full((len(self), size - array.shape[1]), np.nan, np.float32)
                    array = of_shuffle[split] = np.concatenate([array, padding], 1)
                array[piece.info["windows"], :size] = values
        return arrays
