"""The random tests once more, with as many examples as they name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
RANDOM = sorted(p.name for p in TESTS.glob("test_*.py") if "\nfrom examples import" in p.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("file", RANDOM)
def test_many_examples(file: str) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "search"}
    done = subprocess.run(argv, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
