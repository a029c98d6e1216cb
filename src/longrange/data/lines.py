"""Lines of large text files, one at a time, with a bar and a limit to what a single one may take."""

from collections.abc import Iterator
from pathlib import Path

from longrange.data.progress import opened
from longrange.errors import DataError


def lines(path: Path, what: str, longest: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, counted from 1, and their ends.

    Args:
        path: the file.
        what: words before the progress bar.
        longest: bytes of a line; a file of another kind may be all one line.
    Raises:
        DataError: the file cannot be read, or a line is longer.
    """
    number = 0
    try:
        with opened(path, what) as file:
            while line := file.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise DataError(f"{path}, line {number}: longer than {longest:,} bytes; get the file again")
                yield number, line
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend that or get it again") from error
