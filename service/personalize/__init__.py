"""Asking a campaign of Amazon Personalize: flights, breaker, refresher, list length."""
