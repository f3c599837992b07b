"""Music: MusicXML, Humdrum and MIDI, read by music21, as one word for each note."""

import os
import warnings
from collections.abc import Iterator
from typing import Any

from l2m.base.hub import one_line
from l2m.base.optional import optional_library
from l2m.corpora.documents import Document, FileUnit, ReadingLog, ReadingOptions
from l2m.errors import InputError


def read_score(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A piece is one document: its notes in the order they begin, the upper part first, as `67x4`.

    67 is the MIDI number of the pitch, 4 the duration in sixteenths (0: a grace note). Tied notes are one, a chord is its notes
    from the lowest up, rests are left out, repeats are not played again. `--tokenizer words` makes a note a token.
    """
    if file.path.lower().endswith((".mid", ".midi")):
        with open(file.path, "rb") as content:  # of a file that is none, music21 would leave the handle open
            if content.read(4) != b"MThd":
                raise InputError(f"{file.path}: no score that music21 reads (it does not begin with MThd)")
    converter: Any = optional_library("music21.converter", file.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # From the file, never from music21's own cache of pickles.
            piece = converter.parse(os.path.abspath(file.path), forceSource=True, storePickle=False)
            words = _words(piece)
        except Exception as error:  # its errors have no common type
            raise InputError(f"{file.path}: no score that music21 reads ({one_line(error)})") from None
    if not words and file.alone:
        raise InputError(f"{file.path}: no notes; expected a score")
    yield Document(file.id, " ".join(words))


def _words(piece: Any) -> list[str]:
    notes: list[tuple[float, int, int, str]] = []
    for place, part in enumerate(list(piece.parts) or [piece]):
        for note in part.stripTies().flatten().notes:
            sixteenths = round(4 * float(note.duration.quarterLength))
            for pitch in sorted(pitch.midi for pitch in note.pitches):
                notes.append((float(note.offset), place, len(notes), f"{pitch}x{sixteenths}"))
    return [word for *_, word in sorted(notes)]
