//! Tests of messages that are read and written as they arrive and come into being.

#[expect(unused_imports)]
use super::*;
