//! Fuzzes `taiwa_proto::fuzzing::handshake_request`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_proto::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::handshake_request(data));
