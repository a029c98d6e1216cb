"""Train one configuration; `python scripts/train.py --help` lists what can be chosen."""

from omegaconf import DictConfig

from longrange.cli import main


@main("train")
def train(cfg: DictConfig) -> float:
    """Train, write record, learning curve and model, print the summary; return the score for a sweeper."""
    from pytorch_lightning.utilities import rank_zero_only

    from longrange import training
    from longrange.provenance import commit
    from longrange.results.plot import learning_curve
    from longrange.results.record import write_record
    from longrange.results.summary import print_summary
    from longrange.training.export import NAME, export

    outcome = training.train(cfg)
    if rank_zero_only.rank == 0:
        curve = learning_curve(outcome, outcome.run_dir / "learning_curve.png")
        model = export(outcome.best_checkpoint, cfg, commit(), outcome.run_dir / NAME)
        record = write_record(outcome, cfg)  # last: with it the run counts as finished
        print_summary(outcome, [record, curve, model])
    return outcome.metrics["val"][outcome.metric]


if __name__ == "__main__":
    train()
