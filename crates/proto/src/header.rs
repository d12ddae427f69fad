//! (in work) header
