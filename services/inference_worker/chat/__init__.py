"""The worker's reading and writing of chat: templates in, structured events out. No I/O."""
