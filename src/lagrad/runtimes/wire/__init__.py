"""What passes between processes and hosts: bounded messages, sockets, compressed vectors."""
