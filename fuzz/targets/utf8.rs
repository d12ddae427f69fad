//! Fuzzes `taiwa_proto::fuzzing::utf8`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::utf8(data));
