//! Fuzzes `taiwa_proto::fuzzing::deflate_round_trip`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::deflate_round_trip(data));
