//! Fuzzes `taiwa_proto::fuzzing::close_payload`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::close_payload(data));
