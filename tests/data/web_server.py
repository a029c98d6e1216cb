"""A web server on this machine that behaves and misbehaves as told."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

CONTENT = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(8192))  # 256 KiB that repeat nowhere
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class WebServer(ThreadingHTTPServer):
    """Serves CONTENT at every path, whole or from where it is asked.

    Attributes:
        content: what is served.
        plan: how the next answers go wrong, first ones first: an HTTP status, "cut" or "stall" (half of what is left,
            then the end or nothing more), "shifted" (another part than asked for), one of `_Handler.troubles`;
            afterwards all goes well.
        ranges: whether parts can be asked for.
        marked: whether answers carry a mark of the file's version.
        asked: the Range header of every request, None where there was none.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.plan, self.ranges, self.marked, self.asked = CONTENT, [], True, True, []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self):
        web = self.server
        web.asked.append(self.headers.get("Range"))
        trouble = web.plan.pop(0) if web.plan else None
        if isinstance(trouble, int):
            self.send_error(trouble)
            return
        if trouble in self.troubles:
            self.troubles[trouble](self)
            return
        start = self._start()
        if start >= len(web.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(web.content)}")
            self.end_headers()
            return
        self._send(start, trouble)

    def _raw(self, *pieces: bytes, pause: float = 0.02) -> None:
        """Send bytes as they are, slowly; until the other side has had enough."""
        with contextlib.suppress(OSError):
            for piece in pieces:
                self.wfile.write(piece)
                if self.server.over.wait(pause):
                    return
        self.close_connection = True

    def _head(self, **headers: str) -> bytes:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()

    def _moved(self, place: str) -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.end_headers()

    troubles: ClassVar[dict[str, Callable[["_Handler"], None]]] = {
        "silence": lambda self: self.server.over.wait(),
        "garbage": lambda self: self._raw(CONTENT[:2000]),
        "long line": lambda self: self._raw(b"HTTP/1.1 200 " + b"O" * 200_000 + b"\r\n\r\n"),
        "trickling head": lambda self: self._raw(*(bytes([byte]) for byte in self._head(X_Long="x" * 10_000))),
        "trickle": lambda self: self._raw(self._head(Content_Length="262144"), *([b"x"] * 10_000)),
        "endless": lambda self: self._raw(self._head(), *([CONTENT] * 10_000), pause=0),
        "promises more": lambda self: self._raw(self._head(Content_Length="262145"), CONTENT),
        "promises less": lambda self: self._raw(self._head(Content_Length="262143"), CONTENT),
        "promises too much": lambda self: self._raw(self._head(Content_Length=str(10**15))),
        "no length": lambda self: self._raw(self._head(), CONTENT),
        "half, no length": lambda self: self._raw(self._head(), CONTENT[: len(CONTENT) // 2]),
        "bad chunks": lambda self: self._raw(self._head(Transfer_Encoding="chunked"), b"zz\r\n", CONTENT),
        "web page": lambda self: self._raw(self._head(Content_Type="text/html; charset=utf-8"), b"<html>log in</html>"),
        "moved": lambda self: self._moved("/elsewhere"),
        "moved to itself": lambda self: (self.server.plan.append("moved to itself"), self._moved("/elsewhere")),
        "moved to a file": lambda self: self._moved("file:///etc/passwd"),
        "moved nowhere": lambda self: self._moved("http://nowhere.invalid/x"),
    }

    def log_message(self, *_):
        """Nothing on standard error."""

    def _tag(self) -> str:
        return f'"{hashlib.sha256(self.server.content).hexdigest()[:8]}"'

    def _start(self) -> int:
        asked = self.headers.get("Range")
        if not asked or not self.server.ranges or self.headers.get("If-Range") != self._tag():
            return 0
        return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])

    def _send(self, start: int, trouble: str | None) -> None:
        web = self.server
        rest = web.content[start:]
        self.send_response(206 if start else 200)
        if start:
            shift = 1 if trouble == "shifted" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(web.content) - 1}/{len(web.content)}")
        self.send_header("Content-Length", str(len(rest)))
        if web.marked:
            self.send_header("ETag", self._tag())
        self.end_headers()
        self.wfile.write(rest[: len(rest) // 2] if trouble in ("cut", "stall") else rest)
        if trouble == "stall":
            web.over.wait()
