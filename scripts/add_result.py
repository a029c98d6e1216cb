"""Add a run to a table of results: `python scripts/add_result.py outputs/.../result.json results/proof_runs.csv`."""

import argparse
import sys
from pathlib import Path

from longrange.errors import LongrangeError
from longrange.results.rows import add_row


def main() -> None:
    """Append the run's row and print it; one line and exit code 2 where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, help="the run's result.json")
    parser.add_argument("table", type=Path, help="the CSV file, made if it is not there")
    arguments = parser.parse_args()
    try:
        row = add_row(arguments.record, arguments.table)
    except LongrangeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    sys.stdout.write(",".join(str(value) for value in row.values()) + "\n")


if __name__ == "__main__":
    main()
