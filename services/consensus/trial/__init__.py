"""What voting is worth with a real model: checkable items, candidates, every strategy on the same ones."""
