"""`python -m service.local_personalize`: the local Personalize from the command line."""

from service.local_personalize.command import command

if __name__ == "__main__":
    command(prog_name="python -m service.local_personalize")
