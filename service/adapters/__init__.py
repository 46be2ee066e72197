"""What the ports stand for: Amazon, Redis, files, memory."""
