"""python -m fastimg: the same as the command `fastimg`."""

from .cli import main

if __name__ == "__main__":
    main()
