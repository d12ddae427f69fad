//! Fuzzes `taiwa_proto::fuzzing::parts`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::parts(data));
