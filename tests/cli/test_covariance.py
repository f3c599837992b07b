"""l2m covariance."""

import json
import subprocess
import sys

import numpy as np

import l2m


def run(*arguments, check=True):
    command = [sys.executable, "-m", "l2m", "covariance", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def test_the_table_the_law_and_the_learning_exponent(tmp_path):
    """Bytes of ten texts in which every second one repeats the one 1, 2 or 4 before it."""
    random = np.random.default_rng(0)
    for number in range(10):
        letters = random.choice(list(b"aaaabbbccdefgh"), 6_000)
        for back, chance in ((1, 0.4), (2, 0.25), (4, 0.15)):
            copied = random.random(letters.size) < chance
            letters = np.where(copied, np.roll(letters, back), letters)
        (tmp_path / f"text{number}.txt").write_bytes(bytes(letters.astype(np.uint8)))
    texts = sorted(tmp_path.glob("*.txt"))
    out = tmp_path / "out"
    done = run(*texts, "--distances", "1,2,4", "--gamma", "0.3,0.02", "--out", out)
    assert "shuffled" in done.stdout
    assert "alpha_D = gamma / (2 b)" in done.stdout
    assert (out / "covariance.csv").read_text().startswith("distance,singular_1,")
    curve = l2m.load(out / "covariance.json")
    answer = json.loads(run(*texts, "--distances", "1,2,4", "--gamma", "0.3,0.02", "--json").stdout)
    law = curve.fit()
    assert answer["learning_exponent"]["value"] == 0.3 / (2 * -law.exponent)
    assert answer["curve"]["singular"] == curve.to_dict()["singular"]

    other = run(*texts, "--distances", "1,2,4", "--center", "document", "--out", out, check=False)
    assert other.returncode == 2
    assert "center" in other.stderr

    bad = run(*texts, "--gamma", "0.3", check=False)
    assert (bad.returncode, bad.stderr.splitlines()) == (
        2,
        ["l2m: gamma: [0.3]; expected a value and its standard error, or --scores alone"],
    )
