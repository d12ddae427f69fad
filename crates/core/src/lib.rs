//! The words that all parts of the house share: no I/O, no clock, no runtime.
