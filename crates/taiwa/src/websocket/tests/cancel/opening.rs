//! Opening handshakes that are given up at every poll.
