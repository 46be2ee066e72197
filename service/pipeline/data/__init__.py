"""Whether data can be imported and trained on, what it looks like, and how to mend it."""
