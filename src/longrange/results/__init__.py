"""What a run leaves behind: its folder, its record, its learning curve, its summary.

Nothing is imported here: the command line needs `run_folder` at once, torch and matplotlib only after a training.
"""
