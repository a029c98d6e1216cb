"""Tasks: one module each, and the pieces they share."""

from longrange.data.batch import Batch
from longrange.data.bidmc import Bidmc
from longrange.data.cifar import Cifar
from longrange.data.listops import ListOps
from longrange.data.mnist import Mnist
from longrange.data.module import SequenceDataModule
from longrange.data.own import OwnSequences
from longrange.data.pathfinder import Pathfinder
from longrange.data.retrieval import Retrieval
from longrange.data.speech_commands import SpeechCommands
from longrange.data.text import Text

__all__ = [
    "Batch",
    "Bidmc",
    "Cifar",
    "ListOps",
    "Mnist",
    "OwnSequences",
    "Pathfinder",
    "Retrieval",
    "SequenceDataModule",
    "SpeechCommands",
    "Text",
]
