"""Files that a command is given: found by their addresses, on disk and in S3, and read as streams of bytes."""
