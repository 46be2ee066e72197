"""What a send will get, before it is sent."""
