"""The catalogue's items, put into Personalize's items dataset: only what has changed since the last time."""
