"""What libraries say of files they cannot read, fit for a line on a terminal."""

_LONGEST = 150


def reason(error: object) -> str:
    """The first line of an error or a text, short and printable: it may quote the file, which may hold anything.

    Args:
        error: whose kind stands for what it does not say.
    """
    first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in first[:_LONGEST]).rstrip(".: ")
