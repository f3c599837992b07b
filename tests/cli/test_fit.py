"""`l2m fit`."""

import json

import numpy as np
import pytest

import l2m
from l2m.cli import main

X = 2.0 ** np.arange(13)


def noisy(seed=0, size=0.1, amplitude=2.27, exponent=0.76):
    return amplitude * X**exponent * np.exp(size * np.random.default_rng(seed).standard_normal(X.size))


def decaying(seed=0, size=0.002):
    return 1.1 * X**-0.91 + 0.05 + size * np.random.default_rng(seed).standard_normal(X.size)


ERRORS = 0.1 * noisy() * np.random.default_rng(9).uniform(0.5, 2, X.size)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_the_command(tmp_path, capsys):
    y = decaying()
    table = tmp_path / "curve.csv"
    rows = [f"{a},{b},{0.002}" for a, b in zip(X.tolist(), y.tolist(), strict=True)]
    table.write_text("\n".join(["d,info,se", "# a comment", *rows, ""]))
    figure, record = tmp_path / "fit.png", tmp_path / "law.json"
    arguments = ("fit", table, "--x", "d", "--y", "info", "--stderr", "se", "--method", "wls", "--offset", "free")
    code, out, _ = run(capsys, *arguments, "--figure", figure, "--out", record, "--json")
    result = json.loads(out)
    law = l2m.fit_power_law(X, y, stderr=np.full(13, 0.002), method="wls", offset=True)
    assert code == 0
    assert result["exponent"]["value"] == pytest.approx(law.exponent, rel=1e-12)
    assert (result["exponent"]["low"], result["exponent"]["high"]) == pytest.approx(law.interval("exponent"))
    assert result["comparison"]["best"] == "power law with offset"
    assert figure.stat().st_size > 5000
    assert l2m.load(record).exponent == pytest.approx(law.exponent)
    code, out, _ = run(capsys, "fit", table, "--interval", "bca")
    assert code == 0
    assert "bca" in out
    assert "AICc" in out


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, (), "no such file"),
        ("1,2\n2,x\n", (), "line 2 holds '2,x'"),
        ("1,2\n2\n", (), "line 2 holds 1 numbers; expected 2"),
        ("a,b\n1,2\n3,4\n", ("--y", "c"), "no column 'c' for y; it has a, b"),
        ("a,b\n", (), "no rows"),
        ("1,2\n2,-3\n4,1\n", (), "y: -3 at position 1"),
        ("1,2\n2,3\n4,1\n", ("--figure", "a.xyz"), "a.xyz"),
    ],
)
def test_the_command_names_bad_files(tmp_path, capsys, content, options, words):
    path = tmp_path / "curve.csv"
    if content is not None:
        path.write_text(content)
    code, _, error = run(capsys, "fit", path, *options)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1
