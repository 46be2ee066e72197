"""Where files are: on disk, in S3."""
