"""Checks a set-up from end to end, and says what to do; known to nobody but the command line."""
