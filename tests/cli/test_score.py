"""`l2m score`, `l2m bipartite` and `l2m nll` from text to law."""

import json

import pytest

import l2m
from l2m.cli import main
from l2m.scoring.bipartite import bipartite
from texts import some_texts


def test_the_command_line_from_text_to_law(tiny_model, tmp_path, capsys):
    def run(*arguments):
        """(exit status, stdout, stderr) of a command, in this process: importing torch anew takes seconds."""
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return (stopped.value.code, *capsys.readouterr())

    texts = tmp_path / "texts"
    texts.mkdir()
    for number, text in enumerate(some_texts(9)):
        (texts / f"{number}.txt").write_text(text)
    options = ["--model", tiny_model, "--out", tmp_path / "scores", "--length", 64, "--windows", 18, "--device", "cpu"]
    status, out, _ = run("score", texts, *options, "--dry-run", "--json")
    assert status == 0
    plan = json.loads(out)
    assert plan["tokens"] == 18 * (
        64 + 2 * (32 + 48 + 24 + 12 + 6) + 6 * 2
    )  # six passes after the 2 tokens of a blank line
    assert plan["parameters"] > 10_000
    assert not (tmp_path / "scores").exists()
    status, out, _ = run("score", texts, *options, "--json")
    assert status == 0
    assert json.loads(out)["windows"] == 18
    status, out, _ = run("bipartite", tmp_path / "scores", "--out", tmp_path / "curves", "--json")
    assert status == 0
    assert {(law["estimator"], law["ratio"], law["correction"]) for law in json.loads(out)["laws"]} == {
        *(("direct", ratio, correction) for ratio in (2, 3, 4) for correction in ("none", "ngram")),
        *(("vclub", ratio, "none") for ratio in (2, 3, 4)),
        *(("entropy", ratio, "none") for ratio in (2, 3, 4)),
    }
    saved = l2m.load(tmp_path / "curves" / "direct-2-none.json")
    assert saved.information.tolist() == bipartite(l2m.load(tmp_path / "scores")).information.tolist()
    assert (tmp_path / "curves" / "bipartite.svg").read_text().startswith("<svg")
    status, out, _ = run("bipartite", tmp_path / "scores", "--estimator", "direct", "--preset", "paper")
    assert status == 0
    assert "l^" in out
    status, out, _ = run("nll", tmp_path / "scores", "--json")
    assert status == 0
    assert json.loads(out)["models"][0]["overall"]["bits_per_byte"] > 0
    for bad in (
        ["score", texts, *options, "--length", 32],
        ["score", texts, *options, "--shard", "3"],
        ["score", *options],
        ["bipartite", tmp_path / "texts"],
        ["nll"],
    ):
        status, _, error = run(*bad)
        assert status == 2, bad
        assert error.startswith("l2m: ")
        assert error.count("\n") == 1
