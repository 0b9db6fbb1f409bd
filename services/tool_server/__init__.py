"""Tools that the swarm runs itself, each session contained in a folder of its own."""
