"""What users did: taken in, kept safe, used in every answer, and sent on to Personalize."""
