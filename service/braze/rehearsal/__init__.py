"""Plays a send against a service as Braze would, and says what came of it."""
