"""A real browser without a window, driven over its debugging pipe: no driver and no other package is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--no-first-run",
)
# The browser reads descriptor 3 and writes 4; the pipes may lie there crosswise, so they are moved away first.
START = """
import fcntl, os, sys
read, written = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 20) for n in sys.argv[1:3])
os.dup2(read, 3), os.dup2(written, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def browser_path() -> str | None:
    """The browser of the environment variable FUSEMAP_BROWSER, or one that is installed."""
    named = os.environ.get("FUSEMAP_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(slots=True)
class Tab:
    """A page in the browser; what it asks the network for, or logs, is kept."""

    to: BinaryIO
    back: BinaryIO
    session: str = ""
    requests: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    last: int = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command of the DevTools protocol."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while True:
            found = self._read()
            if found.get("id") == self.last:
                assert "error" not in found, found
                return found["result"]

    def _read(self) -> Any:
        content = bytearray()
        while (byte := self.back.read(1)) != b"\0":
            assert byte, "the browser ended"
            content += byte
        found = json.loads(content)
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, method: str, parameters: Any) -> None:
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.logged.append(parameters["entry"]["text"])

    def show(self, page: Path, *, width: int, dark: bool) -> None:
        """Load a page at a width, in the dark or not."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests.clear()
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self.events:
            self._read()

    def value(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(found["data"])


@contextmanager
def tab(path: str, folder: Path) -> Iterator[Tab]:
    """A tab of a browser that is ended afterwards; its profile is kept in a folder."""
    theirs, to = os.pipe()
    back, their_back = os.pipe()
    started = (sys.executable, "-c", START, str(theirs), str(their_back))
    command = (*started, path, *FLAGS, f"--user-data-dir={folder}")
    log = (folder / "browser.log").open("wb")
    with open(to, "wb") as writer, open(back, "rb") as reader, log:
        process = subprocess.Popen(command, pass_fds=(theirs, their_back), stdout=log, stderr=log)
        os.close(theirs)
        os.close(their_back)
        try:
            made = Tab(writer, reader)
            target = made.call("Target.createTarget", url="about:blank")["targetId"]
            made.session = made.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                made.call(f"{domain}.enable")
            yield made
        finally:
            process.kill()
            process.wait()
