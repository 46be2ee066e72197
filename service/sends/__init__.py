"""What is done for a whole send: prewarm and plan."""
