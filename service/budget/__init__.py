"""The budget: the slots of `PERSONALIZE_TPS`, who waits for them, and who hands them out."""
