"""Makes the modules beside this file importable from every test and by name from configs; tames idle threads."""

import os

# Idle threads sleep instead of spinning: read when torch is loaded. Tests beside anything else that is busy (another
# worker of pytest-xdist, say) would otherwise take twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
