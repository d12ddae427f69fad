//! Fuzzes `taiwa_proto::fuzzing::connection`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::connection(data, std::time::Instant::now()));
