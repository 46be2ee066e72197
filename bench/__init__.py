"""Benchmarks: sends that count transactions, and speed as ratios within one run. `make bench` runs them all."""
