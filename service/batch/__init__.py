"""`personalize-connect batch`: lists that a batch job of Amazon Personalize made, for sends larger than the TPS."""
