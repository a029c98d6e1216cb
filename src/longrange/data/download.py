"""One file from a web server: continued where it was cut off, repeated a few times, never waiting without end."""

import http.client
import logging
import re
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from longrange.data.files import writing
from longrange.data.progress import byte_bar, readable
from longrange.data.reasons import reason
from longrange.errors import DataError

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_SLOWEST = 1000  # bytes a second
_PATIENCE = 4  # timeouts until the beginning of an answer is there, redirections included
_MOST = 64 * 10**9  # bytes of a file whose size is not known
_BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= 500)}


class _CutError(Exception):
    """The server was not reached or stopped in the middle: another attempt may go on."""


@dataclass(frozen=True)
class Download:
    """What is to be downloaded.

    Attributes:
        url: its address.
        partial: the file that grows; kept when the download fails, so that a later one goes on.
        size: bytes, exact or about; None where unknown. The server's word counts more.
        hint: the end of every error line: what else the user can do.
        timeout: seconds after which a connection counts as lost that brought nothing, or less than 1 kB a second.
    """

    url: str
    partial: Path
    size: int | None
    hint: str
    timeout: float

    def run(self, attempts: int, pause: float) -> None:
        """Bring the file whole; only its length is checked.

        Args:
            attempts: connections that may fail in a row without bringing the file further than any before.
            pause: seconds before the second attempt; doubled before each later one.
        Raises:
            DataError: the server refuses or keeps failing; the disk is full or cannot be written.
        """
        furthest, failed = self._have(), 0
        while True:
            try:
                return self._attempt()
            except _CutError as cut:
                failed = 1 if self._have() >= furthest + self._least else failed + 1
                furthest = max(furthest, self._have())
                if failed >= attempts:
                    raise self._given_up(cut) from cut
                wait = pause * 2 ** (failed - 1)
                log.warning("%s: %s; trying again in %.0f s", self.url, cut, wait)
                time.sleep(wait)

    def discard(self) -> None:
        """Remove what has come so far."""
        with writing(self.partial):
            self.partial.unlink(missing_ok=True)
            self._version.unlink(missing_ok=True)

    @property
    def _version(self) -> Path:
        """A note beside the growing file: which version of the server's file it is the beginning of."""
        return self.partial.with_name(f"{self.partial.name}-version")

    @property
    def _least(self) -> float:
        """Bytes that a connection brings in `timeout` if it is worth waiting for; a trickle would never end."""
        return _SLOWEST * self.timeout

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _given_up(self, cut: _CutError) -> DataError:
        kept = f"{readable(self._have())} are kept, run this again to go on; or " if self._have() else ""
        return DataError(f"{self.url}: {cut}; {kept}{self.hint}")

    def _attempt(self) -> None:
        """One connection: the rest of the file, or all of it where the server cannot or should not go on."""
        try:
            with self._open() as response:
                self._receive(response)
        except urllib.error.HTTPError as error:
            error.close()
            self._refused(error)
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise DataError(f"{self.url}: certificate not valid ({cause.verify_message}); {self.hint}") from error
            raise self._lost(cause) from error
        except ValueError as error:
            raise DataError(f"{self.url}: not an address ({reason(error)}); {self.hint}") from error

    def _open(self) -> http.client.HTTPResponse:
        """The beginning of the answer. A socket's timeout begins anew with every byte; this one does not."""
        answer: Future = Future()

        def ask() -> None:
            try:
                answer.set_result(urllib.request.urlopen(self._request(), timeout=self.timeout))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        return answer.result(_PATIENCE * self.timeout)

    def _request(self) -> urllib.request.Request:
        """Ask for the rest only where it is known to belong to what is there."""
        headers = {"User-Agent": "longrange", "Accept-Encoding": "identity"}
        if self._have() and self._version.is_file():
            headers |= {"Range": f"bytes={self._have()}-", "If-Range": self._version.read_text()}
        return urllib.request.Request(self.url, headers=headers)

    def _refused(self, error: urllib.error.HTTPError) -> None:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range", "").endswith(f"/{self._have()}"):
                return  # an earlier attempt had brought all of it
            self.discard()
            raise _CutError("the file there is another one by now") from error
        answer = f"the server says {error.code} {reason(' '.join(str(error.reason).split()))}"
        if error.code in _BUSY:
            raise _CutError(answer) from error
        raise DataError(f"{self.url}: {answer}; {self.hint}") from error

    def _lost(self, cause: object) -> _CutError:
        if isinstance(cause, TimeoutError):
            return _CutError(f"no answer for {self.timeout:.3g} s")
        return _CutError(f"no connection ({reason(getattr(cause, 'strerror', None) or cause)})")

    def _receive(self, response: http.client.HTTPResponse) -> None:
        done = self._start(response)
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        if response.headers.get_content_type() == "text/html":  # of a login, a notice; no published file is one
            raise DataError(f"{self.url}: the server sends a web page, not the file; {self.hint}")
        self._check_size(total or 0)
        self._check_space((total or self.size or 0) - done)
        self._note_version(response)
        log.info("downloading %s", self.url)
        with byte_bar(self.partial.stem, total or self.size) as show:
            for count in self._append(response, done):
                self._check_size(done := done + count)
                show(done)
        if total is not None and done < total:
            raise _CutError(f"the connection ended after {done:,} of {total:,} bytes")

    def _start(self, response: http.client.HTTPResponse) -> int:
        """Where in the file the answer begins: the server may send the rest or, as if never asked, everything."""
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            return 0
        begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if begins is None or int(begins[1]) != self._have():
            self.discard()
            raise _CutError("the server sent another part than the one asked for")
        return self._have()

    def _check_size(self, size: int) -> None:
        most = 2 * self.size + _CHUNK if self.size else _MOST
        if size > most:
            self.discard()
            raise DataError(f"{self.url}: the server sends more than {readable(most)}; {self.hint}")

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.partial.parent).free
        if needed > free:
            raise DataError(
                f"{self.partial.parent}: {readable(needed)} needed for {self.url}, {readable(free)} free; "
                f"make room or choose another place"
            )

    def _note_version(self, response: http.client.HTTPResponse) -> None:
        """Without a mark of its version, a file cannot be continued safely: the next attempt begins anew."""
        tag = response.headers.get("ETag", "W/")
        mark = response.headers.get("Last-Modified") if tag.startswith("W/") else tag
        with writing(self.partial):
            if mark:
                self._version.write_text(mark)
            else:
                self._version.unlink(missing_ok=True)

    def _append(self, response: http.client.HTTPResponse, start: int):
        """Write what comes to the disk; yield the size of each piece. Network errors pass, others are named."""
        with writing(self.partial):
            file = self.partial.open("ab" if start else "wb", buffering=0)
        begun, count = time.monotonic(), 0
        with file:
            while chunk := response.read1(_CHUNK):
                with writing(self.partial):
                    file.write(chunk)
                yield len(chunk)
                count += len(chunk)
                if time.monotonic() - begun > self.timeout:
                    if count < self._least:
                        raise _CutError(f"{count:,} bytes in {self.timeout:.3g} s are too slow")
                    begun, count = time.monotonic(), 0
