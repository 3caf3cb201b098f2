"""The page: one file per tab, and the small things they share. gradio is imported here and in ``app.py`` only."""
