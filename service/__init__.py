"""Amazon Personalize recommendations for Braze Connected Content."""
