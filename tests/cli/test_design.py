"""`l2m design`: the table agrees with `l2m.design`, and --vary is read whole."""

import json

import pytest

import l2m
from l2m.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["design", *words])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


MODEL = ("mamba-130m", "--law", "code", "--length", "1e8")


def test_agrees_with_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    varied = {"state_size": [16, 128], "num_hidden_layers": [24, 48]}
    options = ("--vary", "state_size=16,128", "--vary", "num_hidden_layers=24,48")
    status, out, _ = run(capsys, *MODEL, *options, "--json")
    found = l2m.design(l2m.law("code"), 1e8, "mamba-130m", varied)
    rows = json.loads(out)["rows"]
    assert status == 0
    assert len(rows) == 4
    for row, candidate in zip(rows, found.candidates, strict=True):
        assert {name: row[name] for name in varied} == candidate["fields"]
        assert row["bytes"] == candidate["bytes"]
        assert row["suffices"] == candidate["suffices"]
    status, out, _ = run(capsys, *MODEL, *options)
    assert "large enough" in out
    assert "smallest of 4 candidates" in " ".join(out.split())


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["16"], "expected FIELD=V1,V2"),
        (["state_size=16", "state_size=32"], "each field once"),
        (["state_size="], "state_size ''; expected a whole number"),
        (["nosuch=1"], "vary: 'nosuch'"),
    ],
)
def test_a_bad_vary_is_named(capsys: pytest.CaptureFixture[str], vary: list[str], said: str) -> None:
    status, _, err = run(capsys, *MODEL, *(word for field in vary for word in ("--vary", field)))
    assert status == 2, err
    assert said in err
