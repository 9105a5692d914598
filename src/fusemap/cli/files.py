"""Writing a file whole: what stood there before stays until all of the new content is on the disk."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from fusemap.diagnostics import input_error


def write_whole(path: str, content: bytes) -> None:
    """Write a file in one step: no reader, and no interruption, sees or leaves half of it.

    A link is followed; what is no file (a pipe, a terminal) is written to as it is. Raises OSError with the
    path that was asked for.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with open(draft, "xb") as stream:
            stream.write(content)
        os.replace(draft, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def suffix_of(path: str, valid: tuple[str, ...]) -> str:
    """The ending of a path, without its dot and in lower case; InputError for one that is not among the valid ones.

    >>> suffix_of("figures/QK.SVG", ("svg", "png"))
    'svg'
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix in valid:
        return suffix
    found = f"the ending .{suffix}" if suffix else "no ending"
    listed = ", ".join(f".{v}" for v in valid)
    raise input_error(f"the ending of {path} names its format, and it has {found}", hint=f"valid endings: {listed}")
