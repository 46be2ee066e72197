"""What several rooms share about AWS."""
