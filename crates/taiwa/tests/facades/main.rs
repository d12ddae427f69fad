//! Tests of the facades: beside what they stand in for, and by that one's own examples.

mod alike;
