//! Commands and replies as bytes.
