"""Says whether the browser tests will find Chromium, and how to get it; with --require, fails where there is none."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from browser import HOW, chromium


def main() -> int:
    found = chromium()
    print(f"setup: the browser tests use {found}" if found else f"setup: {HOW}", file=sys.stderr)
    return int(found is None and "--require" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
