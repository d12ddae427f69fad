//! What `cargo xtask instructions` counts: the paths of each message.
//!
//! ```text
//! hot_paths SCENE EVENTS
//! ```

mod core;
mod serve;
mod client;

use std::{env, process::ExitCode};

use taiwa_proto::Kind;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match &args[..] {
        [scene, events] => events.parse().ok().map(|it| (scene.as_str(), it)),
        _ => None,
    };
    let Some((scene, events)) = parsed else {
        eprintln!("usage: hot_paths SCENE EVENTS");
        return ExitCode::from(2);
    };
    match play(scene, events) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{scene}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn play(scene: &str, events: u32) -> Result<(), String> {
    let text = "対話 dialogue ".repeat(60);
    match scene {
        "core-echo" => core::echo_plain(Kind::Binary, &[7; 16], events),
        "core-echo-text" => core::echo_plain(Kind::Text, text.as_bytes(), events),
        "core-echo-deflate" => core::echo_deflate(text.as_bytes(), events),
        "core-fan-out" => core::fan_out(events),
        "core-handshake" => core::handshake(events),
        "library-echo" => core::library_echo(events),
        "serve-echo" => return serve::echo(events),
        "serve-fan-out" => return serve::fan_out(events),
        "serve-fan-out-centrifuge" => return serve::fan_out_centrifuge(events),
        "serve-fan-out-socketio" => return serve::fan_out_socketio(events),
        "serve-handshake" => return serve::handshakes(events),
        other => return Err(format!("there is no scene {other}")),
    }
    Ok(())
}
