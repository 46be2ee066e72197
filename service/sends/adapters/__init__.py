"""Where pins of sends are kept."""
