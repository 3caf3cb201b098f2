"""Commands of ``python -m restorers``, one a file: SUMMARY, DESCRIPTION, EXAMPLES, add_arguments, execute."""
