"""Builds everything; the only room that knows every class."""
