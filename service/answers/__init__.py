"""The use cases: what an answer shows, and how it is rendered."""
