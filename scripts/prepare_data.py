"""Prepare a task's data and show what there is; `python scripts/prepare_data.py --help` says how."""

from omegaconf import DictConfig

from longrange.cli import main


@main("prepare_data")
def prepare_data(cfg: DictConfig) -> None:
    """Prepare the data of the chosen task; print its splits, where they are, and the time it took."""
    from time import perf_counter

    from hydra.utils import instantiate

    from longrange.data.summary import print_splits

    data = instantiate(cfg.data)
    began = perf_counter()
    data.prepare_data()
    print_splits(data, seconds=perf_counter() - began)


if __name__ == "__main__":
    prepare_data()
