"""The items that can be shown, and those that an operator blocked."""
