"""The replicas among themselves: the Redis client, the heartbeat, the shared clock."""
