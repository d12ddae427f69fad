//! Fuzzes `taiwa_h3::fuzzing::control`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_h3::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::control(data));
