"""Stores of batch lists."""
