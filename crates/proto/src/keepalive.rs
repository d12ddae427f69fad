//! (in work) keepalive
