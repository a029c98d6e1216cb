"""The recurrent step of a trained model as a file; `python scripts/export.py --help` says how."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from longrange.cli import main


@main("export", no_sweep="a command exports one model to one file; leave it out, and give a command for each")
def export(cfg: DictConfig) -> None:
    """Write the file and say what goes in and what comes out."""
    from longrange.training.export_step import export_step

    written = export_step(Path(cfg.weights), Path(cfg.file), cfg.rate, cfg.packages)
    takes = "\n".join(f"  {name:<10} {shape}" for name, shape in written.inputs.items())
    size = f"{written.path.stat().st_size:,} bytes"
    sys.stdout.write(f"{written.path}: {size}; scores within {written.difference:.0e} of the model's\n")
    sys.stdout.write(f"takes\n{takes}\ngives\n  {', '.join(written.outputs)}\n")


if __name__ == "__main__":
    export()
