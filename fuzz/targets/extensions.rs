//! Fuzzes `taiwa_proto::fuzzing::extensions`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::extensions(data));
