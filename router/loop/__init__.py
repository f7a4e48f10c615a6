"""The event loop of a worker: its turns, its time, and what is done with a socket."""
