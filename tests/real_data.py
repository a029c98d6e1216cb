"""Where published files lie, for tests that read them: $LONGRANGE_DATA, or the folder data of this checkout."""

import os
from pathlib import Path

REAL_DATA = Path(os.environ.get("LONGRANGE_DATA", Path(__file__).parents[1] / "data"))
