"""From the bytes of a feed to items."""
