"""``python -m common.cli``: the command `headwater`, where its script is not on the PATH."""

from common.cli.main import main

if __name__ == "__main__":
    main()
