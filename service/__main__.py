"""`python -m service` is the command `personalize-connect`."""

from service.cli import main

if __name__ == "__main__":
    main(prog_name="personalize-connect")
