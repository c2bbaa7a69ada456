"""A function of the user's own that hangs can be ended from outside, and its own exits are not the program's."""

import subprocess
import sys
import time

HANGS = """
import pathlib
import time

def hang(x):
    pathlib.Path("started").touch()
    time.sleep(600)

def leave(x):
    raise SystemExit(0)
"""


def test_a_function_that_hangs_ends_with_sigterm(tmp_path):
    (tmp_path / "own.py").write_text(HANGS)
    command = [sys.executable, "-m", "losscli", "gradcheck", "own.py:hang"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (tmp_path / "started").exists() and process.poll() is None:
            time.sleep(0.02)
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, b"")


def test_a_function_that_exits_is_no_pass(tmp_path):
    (tmp_path / "own.py").write_text(HANGS)
    command = [sys.executable, "-m", "losscli", "gradcheck", "own.py:leave"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 2


def test_a_function_that_hangs_ends_by_itself_when_its_time_is_up(tmp_path):
    (tmp_path / "own.py").write_text(
        HANGS.replace("time.sleep(600)", "\n    try: time.sleep(600)\n    except Exception: pass")
    )
    command = [sys.executable, "-m", "losscli", "gradcheck", "own.py:hang", "--timeout", "0.2"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "own.py:hang gave no answer in 0.2 seconds" in ended.stderr
