"""MusicXML, Humdrum and MIDI: notes as words, ties, chords and parts in order; damage in one line."""

import zipfile
from pathlib import Path

import pytest

import l2m
from reading import read

HEAD = '<?xml version="1.0"?><score-partwise version="3.1"><part-list>'
PARTS = "".join(f'<score-part id="P{n}"><part-name>{n}</part-name></score-part>' for n in (1, 2))


def note(step: str, octave: int, duration: int, more: str = "", before: str = "") -> str:
    return f"<note>{before}<pitch><step>{step}</step><octave>{octave}</octave></pitch><duration>{duration}</duration>{more}</note>"


def measure(number: int, notes: str) -> str:
    attributes = "<attributes><divisions>4</divisions></attributes>" if number == 1 else ""
    return f'<measure number="{number}">{attributes}{notes}</measure>'


UPPER = measure(1, note("G", 4, 4) + note("A", 4, 12, '<tie type="start"/>')) + measure(
    2, note("A", 4, 4, '<tie type="stop"/>')
)
LOWER = measure(1, note("C", 3, 8) + note("E", 3, 8) + note("G", 3, 8, before="<chord/>")) + measure(
    2, "<note><rest/><duration>4</duration></note>"
)
MUSICXML = f'{HEAD}{PARTS}</part-list><part id="P1">{UPPER}</part><part id="P2">{LOWER}</part></score-partwise>'
WORDS = "67x4 48x8 69x16 52x8 55x8"


def test_musicxml(tmp_path: Path) -> None:
    (tmp_path / "a.musicxml").write_text(MUSICXML)
    with zipfile.ZipFile(tmp_path / "b.mxl", "w") as file:
        container = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="b.xml"/></rootfiles></container>'
        file.writestr("META-INF/container.xml", container)
        file.writestr("b.xml", MUSICXML)
    assert [text for _, text in read(tmp_path)] == [WORDS, WORDS]
    assert l2m.tokenize(tmp_path / "a.musicxml", "words").vocab_size == 5


HUMDRUM = """**kern	**kern
*clefF4	*clefG2
*M4/4	*M4/4
=1	=1
2C	4g
.	[2.a
2E 2G	.
=2	=2
4r	4a]
==	==
*-	*-
"""


def test_humdrum(tmp_path: Path) -> None:
    pytest.importorskip("music21")
    (tmp_path / "a.krn").write_text(HUMDRUM)  # the piece of MUSICXML
    assert [text for _, text in read(tmp_path)] == [WORDS]


def test_midi(tmp_path: Path) -> None:
    stream = pytest.importorskip("music21.stream")
    notes = pytest.importorskip("music21.note")
    piece = stream.Stream([notes.Note("C4", quarterLength=1), notes.Note("E4", quarterLength=0.5)])
    piece.write("midi", tmp_path / "a.mid")
    assert [text for _, text in read(tmp_path)] == ["60x4 64x2"]


@pytest.mark.parametrize("name", ["a.mxl", "a.musicxml", "a.krn", "a.mid"])
def test_what_is_no_score(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no score at all")
    with pytest.raises(l2m.InputError, match=f"{name}: no score that music21 reads") as error:
        l2m.tokenize(tmp_path / name)
    assert "\n" not in str(error.value)
