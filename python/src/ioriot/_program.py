"""The program: where it is, and how it is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

StrPath = str | os.PathLike[str]


class Error(Exception):
    """The program could not be found, or said that it could not do what was asked.

    The text is what the program wrote to standard error.
    """

    code: int | None
    """Exit code of the program (`ioriot --help` lists them); `None` when it did not run."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def program() -> Path:
    """Path of the program.

    It is what the environment variable `IORIOT` names, else the script of this installation, else what is on PATH.

    Raises `Error` where there is none.
    """
    named = os.environ.get("IORIOT")
    if named:
        if not os.access(named, os.X_OK) or not os.path.isfile(named):
            raise Error(f"IORIOT names {named}, which is no program")
        return Path(named)
    schemes = [None, sysconfig.get_preferred_scheme("user")]
    for scheme in schemes:
        scripts = sysconfig.get_path("scripts", scheme) if scheme else sysconfig.get_path("scripts")
        script = Path(scripts) / "ioriot"
        if script.is_file() and os.access(script, os.X_OK):
            return script
    found = shutil.which("ioriot")
    if found is None:
        raise Error("there is no program ioriot: neither in IORIOT, nor in this installation of Python, nor on PATH")
    return Path(found)


def command(*args: StrPath, cwd: StrPath | None = None, accept: tuple[int, ...] = (0,)) -> str:
    """Call the program with these arguments, without a shell, and give what it wrote to standard output.

    `cwd` is the directory that it works in. Raises `Error` when its exit code is none of `accept`.
    """
    return invoke(args, cwd, accept)[0].decode(errors="replace")


def invoke(args: tuple[StrPath, ...], cwd: StrPath | None = None, accept: tuple[int, ...] = (0,)) -> tuple[bytes, int]:
    """Standard output and exit code of a call."""
    words = [os.fspath(program()), *(os.fspath(arg) for arg in args)]
    try:
        done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except (OSError, ValueError) as error:
        raise Error(f"ioriot could not be called: {error}") from error
    if done.returncode not in accept:
        raise failure(done.stderr or done.stdout, done.returncode)
    return done.stdout, done.returncode


def stream(args: tuple[StrPath, ...]) -> Iterator[pa.RecordBatch]:
    """Batches of a call that writes an Arrow IPC stream; the first item is the schema, as a batch without rows."""
    words = [os.fspath(program()), *(os.fspath(arg) for arg in args)]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)
        except (OSError, ValueError) as error:
            raise Error(f"ioriot could not be called: {error}") from error
        try:
            yield from _batches(process)
        except (pa.ArrowInvalid, OSError) as error:
            # What the program said is the cause of a stream that ends early. Nobody reads what it still writes.
            _close(process)
            code = process.wait()
            raise failure(_text(said), code) if code else Error(f"no answer of ioriot: {error}", code) from error
        finally:
            _close(process)
            if process.poll() is None:
                process.terminate()
            process.wait()


def failure(said: bytes, code: int) -> Error:
    """The error of a call that failed."""
    text = said.decode(errors="replace").strip().removeprefix("error: ")
    return Error(text or f"ioriot ended with exit code {code}", code)


def _batches(process: subprocess.Popen[bytes]) -> Iterator[pa.RecordBatch]:
    assert process.stdout is not None
    with pa.ipc.open_stream(process.stdout) as reader:
        schema: Any = reader.schema
        yield pa.RecordBatch.from_pylist([], schema=schema)
        yield from reader
    _close(process)
    if process.wait():
        raise pa.ArrowInvalid("the stream ends early")


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdout:
        process.stdout.close()


def _text(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
