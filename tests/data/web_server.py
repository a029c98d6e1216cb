"""A web server on this machine that behaves and misbehaves as told."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(8192))  # 256 KiB that repeat nowhere
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class WebServer(ThreadingHTTPServer):
    """Serves CONTENT at every path, whole or from where it is asked.

    Attributes:
        content: what is served.
        plan: how the next answers go wrong, first ones first: an HTTP status, "cut" or "stall" (half of what is left,
            then the end or nothing more), "shifted" (another part than asked for); afterwards all goes well.
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
        start = self._start()
        if start >= len(web.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(web.content)}")
            self.end_headers()
            return
        self._send(start, trouble)

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
