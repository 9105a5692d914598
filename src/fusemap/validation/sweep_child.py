"""The life of a worker process; it listens before it imports anything heavy, and so ends with its parent at once."""

from __future__ import annotations

import os
import pickle
import queue
import threading
from typing import IO

SLICE_S = 1.0  # after this long a worker gives back what it has, so that little is lost and much is seen


def serve() -> None:
    """A sweep, then block after block of it, from standard input until that ends."""
    source, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not end up between the answers
    asked: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(source, asked), daemon=True).start()
    try:
        sweep = pickle.loads(asked.get())
        while True:
            write(answers, pickle.dumps(answer(sweep, pickle.loads(asked.get()))))
    except OSError:  # nobody reads the answers
        os._exit(1)


def answer(sweep: object, index: object) -> object:
    """The results of a block, or what went wrong as a text."""
    from fusemap.validation import sweep_points

    try:
        return sweep_points.evaluate_points(sweep, index, limit_s=SLICE_S)  # type: ignore[arg-type]  # as they came
    except Exception as error:
        return f"{type(error).__name__}: {error} at {len(index)} points from {index[0]}"  # type: ignore[arg-type,index]


def _listen(source: IO[bytes], asked: queue.Queue[bytes]) -> None:
    """Pass tasks on; when the input ends the parent is gone, and nobody wants what is being computed."""
    try:
        while True:
            asked.put(read(source))
    except (OSError, EOFError):
        os._exit(0)


def write(stream: IO[bytes], content: bytes) -> None:
    """Send a message."""
    stream.write(len(content).to_bytes(8, "little") + content)
    stream.flush()


def read(stream: IO[bytes]) -> bytes:
    """Receive a message; EOFError when there are no more."""
    head = stream.read(8)
    size = int.from_bytes(head, "little")
    content = stream.read(size)
    if len(head) < 8 or len(content) < size:
        raise EOFError
    return content
