"""Makes the modules beside this file importable from every test, and by name from configs."""
