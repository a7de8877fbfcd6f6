"""The real center, ISP server and terminal programs: thin drivers of the protocol core on sockets."""
