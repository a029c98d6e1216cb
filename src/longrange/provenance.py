"""What ran: the commit of the code, the versions of packages, and the machine."""

import functools
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from longrange import __version__

PLACE = ("device", "cpu", "threads", "commit", "date")  # of `where_measured`: what a row names besides its figures
_HERE = Path(__file__).resolve().parent
_COMMIT = re.compile(r"([0-9a-f]{7,40})(-dirty)?")  # as LONGRANGE_COMMIT names it
_PACKAGES = ("longrange", "torch", "pytorch-lightning", "hydra-core", "numpy", "numba")


def where_measured(device: torch.device) -> dict[str, Any]:
    """What stands beside a measurement: versions, device, threads, the commit of the code, and the day."""
    return {
        "longrange": __version__,
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "commit": commit(12),
        "date": datetime.now(UTC).date().isoformat(),
    }


def device_name(where: Mapping[str, Any]) -> str:
    """The GPU, or the processor and how many threads of it, from what `where_measured` gives."""
    return f"{where.get('cpu', 'cpu')}, {where['threads']} threads" if where["device"] == "cpu" else where["device"]


def setting_name(what: Mapping[str, Any]) -> str:
    """The experiment, or else task and model, of something that names the three: "listops/s5"."""
    return what["experiment"] or f"{what['task']}/{what['model']}"


def file_name(*words: str) -> str:
    """Words as the name of a file, without its ending: "listops-s5-nvidia-h200"."""
    return re.sub(r"[^a-z0-9_.]+", "-", "-".join(words).lower())


def versions() -> dict[str, str]:
    """Of Python and the packages that results depend on; torch's says what it was built for, e.g. "2.13.0+cpu"."""
    installed = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **installed, "torch": str(torch.__version__)}


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, and the GPU if there is one."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def cpu_model() -> str:
    """The processor's name and family, as the system gives them, and the widest vectors that torch uses on it.

    Clouds call several generations by one name, and may withhold instructions: "AMD EPYC family 25, AVX2".
    """
    return f"{_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _name() -> str:
    name, family = _told("model name"), _told("cpu family")
    return (f"{name} family {family}" if family else name) or platform.processor() or platform.machine()


def _told(key: str) -> str:
    """What Linux says about the first core; nothing where it says nothing."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


@functools.cache
def git_state() -> dict[str, str | bool | None]:
    """The commit of the running code, and whether src, configs or scripts differ from it; None where not known.

    It is looked up once: what is committed or changed while a command runs is not what runs. Code that was copied
    without its repository takes the word of LONGRANGE_COMMIT, a commit or `<commit>-dirty`.
    """
    found, dirty = _state(_HERE.parents[1], "src", "configs", "scripts")
    if found is not None:
        return {"commit": found, "dirty": dirty}
    told = _COMMIT.fullmatch(os.environ.get("LONGRANGE_COMMIT", ""))
    return {"commit": told[1], "dirty": told[2] is not None} if told else {"commit": None, "dirty": None}


def commit(digits: int = 40) -> str:
    """`git_state` in one word, e.g. "3f2a1b4c5d6e-dirty"; "unknown" where there is none."""
    state = git_state()
    return _word(state["commit"], state["dirty"], digits)


def commit_of(checkout: Path, *folders: str) -> str:
    """The first digits of a checkout's commit, and whether files in some of its folders differ from it.

    Args:
        checkout: its root.
        folders: those that hold what was run; results that are written beside them change nothing.
    Returns:
        E.g. "3f2a1b4c5d6e-dirty"; "unknown" where the root is no repository, as an unpacked archive is not.
    """
    return _word(*_state(checkout, *folders), digits=12)


def _word(found: Any, dirty: Any, digits: int) -> str:
    return "unknown" if found is None else f"{found[:digits]}{'-dirty' if dirty else ''}"


def _state(checkout: Path, *folders: str) -> tuple[str | None, bool]:
    """Of the repository whose root this is, not of one that it lies in."""
    root = f"--git-dir={checkout / '.git'}", f"--work-tree={checkout}", "-C", str(checkout)
    return _git(*root, "rev-parse", "HEAD"), bool(_git(*root, "status", "--porcelain", "--", *folders))


def _git(*arguments: str) -> str | None:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
