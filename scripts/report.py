"""One page of all runs and tables; `python scripts/report.py --help` says how."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from longrange.cli import CONFIG_DIR, main


@main("report", no_sweep="a report is one page of all runs; leave it out")
def report(cfg: DictConfig) -> None:
    """Write the page and say what it shows."""
    from hydra.core.hydra_config import HydraConfig

    from longrange.errors import ConfigError
    from longrange.results.report.page import write_page

    outputs = Path(cfg.paths.outputs)
    named = any(word.startswith("paths.outputs=") for word in HydraConfig.get().overrides.task)
    if named and not outputs.exists():  # the folder of no run yet may be absent, but nobody would name it
        raise ConfigError(f"paths.outputs={outputs}: no such folder; name one that runs were written to")
    page = write_page(outputs, Path(cfg.file), results=CONFIG_DIR.parent / "results", configs=CONFIG_DIR)
    for each in page.unreadable:
        sys.stdout.write(f"not readable: {each.path}: {each.reason}\n")
    unfinished = f", {page.unfinished} unfinished" if page.unfinished else ""
    sys.stdout.write(f"{page.path}: {page.runs} run{'s' * (page.runs != 1)} under {outputs}{unfinished}\n")


if __name__ == "__main__":
    report()
