//! Fuzzes `taiwa_socketio::fuzzing::socketio_msgpack`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taiwa_socketio::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::socketio_msgpack(data));
