//! (in work) utf8
