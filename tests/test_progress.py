"""Progress: shown on a terminal, after a while, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading

import numpy as np
import pytest


@pytest.fixture
def slow(tmp_path):
    """Data whose blocks take longer than the patience that a test sets."""
    np.save(tmp_path / "logits.npy", np.zeros((40_000, 50)))
    np.save(tmp_path / "labels.npy", np.zeros(40_000, dtype=int))
    return tmp_path


RUN = (
    "import sys, losscli.cli.progress as progress; progress._PATIENCE = 0.0\n"
    "from losscli.cli import run; sys.exit(run(sys.argv[1:]))"
)


def _run(folder, *words, terminal):
    argv = [sys.executable, "-c", RUN, "compute", "ce", "logits.npy", "labels.npy", "--json", *words]
    if not terminal:
        done = subprocess.run(argv, cwd=folder, capture_output=True, check=True)
        return done.stdout, done.stderr
    leader, follower = pty.openpty()
    seen = bytearray()

    def drain():
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                return
            if not piece:
                return
            seen.extend(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=follower, check=True)
    os.close(follower)
    reader.join(timeout=20)
    os.close(leader)
    return done.stdout, bytes(seen)


def test_a_terminal_sees_rows_and_the_result_stays_clean(slow):
    out, err = _run(slow, terminal=True)
    assert b"40000" in err.replace(b",", b"")
    assert b"rows" in err
    assert out.count(b"\n") == 1
    assert out.startswith(b'{"schema": "losscli.compute/1"')


def test_a_pipe_sees_nothing(slow):
    _, err = _run(slow, terminal=False)
    assert err == b""


def test_quiet_sees_nothing(slow):
    _, err = _run(slow, "-q", terminal=True)
    assert err == b""
