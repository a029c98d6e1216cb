"""One page of all runs: found under the outputs folder, read with care, drawn without a network.

Nothing is imported here, so that the command line answers at once.
"""
