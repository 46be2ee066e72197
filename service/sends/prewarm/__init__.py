"""Lists fetched before a send: the users of a file, one command, two ways to the budget."""
