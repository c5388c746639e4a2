"""``python -m everlong``, which ``torchrun -m everlong`` needs too."""

from everlong.cli import main

if __name__ == "__main__":
    main()
