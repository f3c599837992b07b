"""The score store: damage is named."""

import json
import os
import shutil

import numpy as np
import pytest
from blake3 import blake3

import l2m
from l2m import scoring
from l2m.scoring.bipartite import bipartite, every_estimate
from scored import LENGTH, SOURCES, Counting, files_of, self_test_tokens


def test_a_damaged_file_is_named_and_only_its_part_is_redone(tmp_path, caplog):
    source = SOURCES["markov"]
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(18, LENGTH, seed=1)))
    options = {"out": tmp_path, "length": LENGTH, "max_batch_tokens": 2 * LENGTH, "shuffles": 0}
    scoring.score(corpus, counted, **options)
    expected = files_of(tmp_path)
    for damage in (
        lambda content: content[:-5],
        lambda content: b"",
        lambda c: c[:-40] + bytes([c[-40] ^ 1]) + c[-39:],
    ):
        victim = sorted((tmp_path / "passes").glob("marginal*"))[1]
        victim.write_bytes(damage(victim.read_bytes()))
        with pytest.raises(l2m.InputError, match=victim.name):
            bipartite(l2m.load(tmp_path))
        caplog.clear()
        counted.tokens = 0
        scoring.score(corpus, counted, **options)
        said = [record.getMessage() for record in caplog.records]
        assert [victim.name in line for line in said] == [True]
        assert counted.tokens == self_test_tokens(LENGTH, [32]) + 8 * (32 + 48 + 24 + 12 + 6)
        assert files_of(tmp_path) == expected


def small_store(folder):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(18, LENGTH, seed=1)))
    scoring.score(corpus, source, out=folder, length=LENGTH, splits=[4, 16], ratios=[2, 3], contexts=64)
    return corpus, source


def everything(folder):
    """All that a reader can ask of a store."""
    scores = l2m.load(folder)
    curves = [*every_estimate(scores), l2m.position_nll(scores)]
    return [
        *(np.asarray(getattr(curve, name)).tobytes() for curve in curves for name in ("pointwise", "stderr")),
        repr((scores.settings, scores.ngram_entropy, scores.noise_floor, scores.self_tests(), len(scores))),
        repr([curve.settings for curve in curves]),
    ]


def flip(content, random):
    place = int(random.integers(len(content)))
    return content[:place] + bytes([content[place] ^ (1 << int(random.integers(8)))]) + content[place + 1 :]


DAMAGE = {
    "flipped": flip,
    "cut": lambda content, random: content[: int(random.integers(1, len(content)))],
    "emptied": lambda content, random: b"",
    "doubled": lambda content, random: content + content,
    "blanks": lambda content, random: b" " * len(content),
}


@pytest.mark.parametrize("damage", [*DAMAGE, "a folder", "a link to nowhere", "missing", "swapped"])
def test_no_damage_of_any_file_is_silent(damage, tmp_path, caplog):
    """Every file of a store in turn: the reader names it, or says that windows are missing, or nothing it gives has changed."""
    small_store(tmp_path / "whole")
    expected = everything(tmp_path / "whole")
    random = np.random.default_rng(0)
    names = [path.relative_to(tmp_path / "whole") for path in sorted((tmp_path / "whole").rglob("*")) if path.is_file()]
    assert len(names) > 10
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        victim = folder / name
        content = victim.read_bytes()
        victim.unlink()
        if damage in DAMAGE:
            victim.write_bytes(DAMAGE[damage](content, random))
        elif damage == "a folder":
            victim.mkdir()
        elif damage == "a link to nowhere":
            victim.symlink_to("nowhere")
        elif damage == "swapped":
            other = folder / names[(number + 1) % len(names)]
            victim.write_bytes(other.read_bytes())
        caplog.clear()
        try:
            found = everything(folder)
        except l2m.InputError as error:
            told = str(error)
            assert "\n" not in told
            assert str(folder) in told
        else:
            told = " ".join(record.getMessage() for record in caplog.records)
            said = any(words in told for words in ("windows have", "no marginal passes", "no n-gram entropies"))
            assert found == expected or said, (name, told)


def test_a_missing_pass_is_told_and_counted(tmp_path, caplog):
    corpus, source = small_store(tmp_path)
    for victim in (tmp_path / "passes").glob("marginal-000008-*"):
        victim.unlink()
    curve = bipartite(l2m.load(tmp_path))
    assert "10 of 18 windows have all passes for ratio 2" in caplog.text
    assert (curve.settings["windows"], curve.settings["windows_incomplete"]) == (10, 8)
    caplog.clear()
    for victim in (tmp_path / "passes").glob("*-000016-*"):  # every pass of the last windows
        victim.unlink()
    assert bipartite(l2m.load(tmp_path)).settings["windows_incomplete"] == 10
    assert "8 of 18 windows" in caplog.text
    l2m.position_nll(l2m.load(tmp_path))
    assert "16 of 18 windows have their conditional pass" in caplog.text
    caplog.clear()
    scoring.score(corpus, source, out=tmp_path, length=LENGTH, splits=[4, 16], ratios=[2, 3], contexts=64)
    assert bipartite(l2m.load(tmp_path)).settings["windows_incomplete"] == 0
    assert not caplog.records


def test_a_piece_of_another_store_is_not_taken(tmp_path):
    source = SOURCES["markov"]
    for name in ("one", "two"):
        corpus = l2m.Corpus(list(source.sample(8, LENGTH, seed=len(name) + ord(name[0]))))
        scoring.score(corpus, source, out=tmp_path / name, length=LENGTH, shuffles=0)
    (theirs,) = (tmp_path / "two" / "passes").glob("conditional*")
    (tmp_path / "one" / "passes" / theirs.name).write_bytes(theirs.read_bytes())
    with pytest.raises(l2m.InputError, match="another store"):
        l2m.load(tmp_path / "one")


def sealed_piece(folder, **changes):
    """A piece with a true checksum whose header says something else."""
    path = next((folder / "passes").glob("conditional*"))
    line, _, data = path.read_bytes()[:-32].partition(b"\n")
    body = json.dumps({**json.loads(line), **changes}).encode() + b"\n" + data
    path.write_bytes(body + blake3(body).digest())


@pytest.mark.parametrize(
    "changes",
    [
        {"windows": []}, {"windows": [2**40] * 8}, {"windows": "many"}, {"windows": [-1] * 8}, {"windows": [0] * 8},
        {"documents": None}, {"documents": [1]}, {"starts": ["a"] * 8}, {"kind": "other"}, {"kind": None},
        {"arrays": []}, {"arrays": [["", [8, 2**50]]]}, {"arrays": [["", [8, -1]]]}, {"arrays": None},
        {"arrays": [["", [8]]]}, {"arrays": [[5, [8, 64]]]}, {"bytes": [1]}, {"bytes": "x"}, {"store": "other"},
    ],
)  # fmt: skip
def test_pieces_with_true_checksums_that_no_run_writes(changes, tmp_path):
    source = SOURCES["markov"]
    scoring.score(l2m.Corpus(list(source.sample(8, LENGTH, seed=1))), source, out=tmp_path, length=LENGTH, shuffles=0)
    sealed_piece(tmp_path, **changes)
    with pytest.raises(l2m.InputError, match="conditional"):
        l2m.load(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        None, [], {}, {"length": "64"}, {"length": True}, {"length": 2**60}, {"unit": 0}, {"unit": None}, {"model": []},
        {"corpus": {}}, {"corpus": None},
    ],
)  # fmt: skip
def test_settings_with_true_checksums_that_no_run_writes(settings, tmp_path):
    from l2m.base.files import read_sealed, write_sealed

    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(8, LENGTH, seed=1)))
    scoring.score(corpus, source, out=tmp_path, length=LENGTH, shuffles=0)
    manifest = read_sealed(tmp_path / "scores.json")
    held = manifest["settings"]
    changed = {**held, **settings} if isinstance(settings, dict) and settings else settings
    write_sealed(tmp_path / "scores.json", {**manifest, "settings": changed})
    for read in (lambda: l2m.load(tmp_path), lambda: scoring.score(corpus, source, out=tmp_path, length=LENGTH)):
        with pytest.raises(l2m.InputError, match=r"scores\.json"):
            read()


def test_a_store_of_the_version_before_opens_and_resumes(tmp_path):
    """As it was written without seals: scores.json, self-tests and statistics without checksums, pieces without a store's name."""
    corpus, source = small_store(tmp_path)
    expected = everything(tmp_path)
    for path in tmp_path.glob("*.json"):
        value = {name: item for name, item in json.loads(path.read_text()).items() if name != "checksum"}
        path.write_text(json.dumps(value))
        if path.name.startswith("asked"):
            path.unlink()
    for path in (tmp_path / "passes").glob("*.scores"):
        line, _, data = path.read_bytes()[:-32].partition(b"\n")
        body = json.dumps({n: v for n, v in json.loads(line).items() if n != "store"}, separators=(",", ":")).encode()
        body += b"\n" + data
        path.write_bytes(body + blake3(body).digest())
    assert everything(tmp_path) == expected
    held = files_of(tmp_path)
    next((tmp_path / "passes").glob("marginal-000008*")).unlink()
    scoring.score(corpus, source, out=tmp_path, length=LENGTH, splits=[4, 16], ratios=[2, 3], contexts=64)
    assert everything(tmp_path) == expected
    assert held.items() <= files_of(tmp_path).items()


def test_a_folder_of_another_run_is_refused(tmp_path):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(8, LENGTH, seed=1)))
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(l2m.InputError, match="a counting job"):
        scoring.score(corpus, source, out=tmp_path, length=LENGTH)
    (tmp_path / "file").write_text("")
    with pytest.raises(l2m.InputError, match="file"):
        scoring.score(corpus, source, out=tmp_path / "file", length=LENGTH)


def test_what_killed_runs_left_is_cleared(tmp_path):
    from l2m.base.files import temporary_path

    corpus, source = small_store(tmp_path)
    mine = temporary_path(tmp_path / "passes" / "marginal-000000-x.scores")
    gone = mine.with_name(mine.name.replace(f"-{os.getpid()}-", "-4000001-"))
    for path in (mine, gone):
        path.write_bytes(b"half")
    scoring.score(corpus, source, out=tmp_path, length=LENGTH, splits=[4, 16], ratios=[2, 3], contexts=64)
    assert mine.exists()
    assert not gone.exists()


def test_a_self_test_that_was_removed_is_named_and_made_again(tmp_path):
    corpus, source = small_store(tmp_path)
    expected = files_of(tmp_path)
    (report,) = tmp_path.glob("self-test-*.json")
    report.unlink()
    with pytest.raises(l2m.InputError, match=r"no self-test-\*\.json"):
        bipartite(l2m.load(tmp_path))
    scoring.score(corpus, source, out=tmp_path, length=LENGTH, splits=[4, 16], ratios=[2, 3], contexts=64)
    assert files_of(tmp_path) == expected


def test_contexts_that_are_scored_in_part_warn_of_nothing(tmp_path, caplog):
    """Rows that are nan in part, and whole; numpy's warnings are errors here. Such windows are counted as incomplete."""
    corpus, source = small_store(tmp_path)
    before = sorted((tmp_path / "passes").glob("contexts*"))
    scoring.score(corpus, source, out=tmp_path, length=LENGTH, splits=[4, 16], ratios=[2, 3], contexts=80)
    wider = sorted(set((tmp_path / "passes").glob("contexts*")) - set(before))
    for removed, held in ((wider[1:], 8), (before[1:], 8), (wider[:1], 8)):
        for path in removed:
            path.unlink()
        assert bipartite(l2m.load(tmp_path), correction="averaged").settings["windows"] == held
        assert "8 of 18 windows have all passes" in caplog.text
