"""What `personalize.toml` wants, made in Amazon Personalize: found by name there, so there is no file of state."""
