"""What can stop the local Personalize from starting."""


class LocalPersonalizeError(Exception):
    """The local Personalize cannot start; the message is one line that says what to mend."""
