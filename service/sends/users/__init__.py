"""The users that people name to a command: files of many kinds, read as one stream of ids."""
