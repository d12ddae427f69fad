//! Fuzzes `taiwa_phoenix::fuzzing::messages`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_phoenix::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::messages(data));
