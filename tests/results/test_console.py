"""The log on the terminal."""

import contextlib
import io
import logging

from longrange.results.console import ConsoleHandler


def test_lines_go_to_what_standard_output_is_at_the_time():
    handler, line = ConsoleHandler(), logging.makeLogRecord({"msg": "on course"})
    bars = [io.StringIO(), io.StringIO()]
    for bar in bars:
        with contextlib.redirect_stdout(bar):
            handler.handle(line)
    assert [bar.getvalue() for bar in bars] == ["on course\n"] * 2
