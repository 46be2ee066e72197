"""Governors: embedded, and shared through Redis."""
