"""What is kept of a user: envelopes, keys, memory, pins, the fallback ladder, forgetting."""
