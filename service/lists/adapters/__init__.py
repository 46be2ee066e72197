"""Stores of lists that replicas share, and what stands in for one."""
