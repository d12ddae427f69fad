//! (in work) writer
