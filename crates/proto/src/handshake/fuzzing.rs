//! Entry points for fuzzers: each takes any bytes, calls a parser and asserts what must hold.
