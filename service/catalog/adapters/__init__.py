"""Where catalogues and block lists are kept."""
