"""Callers that reach a service."""
