"""Makes the modules beside this file importable from every test and by name from configs; settings read at import."""

import os

# Idle threads sleep instead of spinning: read when torch is loaded. Tests beside anything else that is busy (another
# worker of pytest-xdist, say) would otherwise take twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

# Read when Triton is loaded, by Lightning perhaps: where nothing can run its kernels compiled, they are interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """Two processes of one group, see `several_processes`."""
    from several_processes import Processes

    with Processes(tmp_path_factory.mktemp("processes")) as started:
        yield started
