"""`python -m deploywatch`."""

from deploywatch.cli import main

if __name__ == "__main__":
    main()
