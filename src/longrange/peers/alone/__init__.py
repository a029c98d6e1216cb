"""Programs that another interpreter runs, one for each published implementation.

They import the standard library, the checkout and what that needs, and `protocol` beside them; nothing of longrange.
"""
