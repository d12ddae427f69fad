//! (in work) mask
