"""Finds the mistakes that people make in templates, before Braze or a user does."""
