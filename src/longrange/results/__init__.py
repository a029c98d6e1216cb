"""What a run leaves behind: its folder, record, learning curve and summary; tables and a page of many runs.

Nothing is imported here: the command line needs `run_folder` at once, torch and matplotlib only after a training.
"""
