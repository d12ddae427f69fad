//! Fuzzes `taiwa_h3::fuzzing::varint`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_h3::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::varint(data));
