"""Commands that start other commands: sweeps, the trainings that a table lacks, a visit to another machine.

Nothing is imported here: the command line needs `sweep` and `gpus` at once, torch only later.
"""
