"""How an answer is found; knows no framework and no vendor."""
