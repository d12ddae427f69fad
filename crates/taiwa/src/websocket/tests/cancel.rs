//! Drops every future at every poll, over a million times, and sees that the stream stays in step.
//!
//! Two ends talk over a transport that takes and gives a few bytes at a time, and often nothing. Each call
//! is polled k times and dropped, for k from 0 to the poll at which it ends, and between two polls the
//! other end does something. All of it follows from a seed, which a failure prints.

mod choppy;
mod opening;
mod talk;

use super::*;
use choppy::choppy;
use talk::{Face, Talk};

/// The drops of a whole run.
const DROPS_MIN: u64 = 1_000_000;

/// How the ends of a conversation are made.
struct Scene {
    faces: [Face; 2],
    deflate: Option<DeflateParams>,
    /// Bytes between the ends.
    room: usize,
}

fn deflate(keep: bool) -> Option<DeflateParams> {
    Some(DeflateParams {
        server_no_context_takeover: !keep,
        client_no_context_takeover: !keep,
        server_max_window_bits: 10,
        client_max_window_bits: 10,
    })
}

fn scenes() -> Vec<Scene> {
    use Face::{Events, Halves, Streams, Whole};
    let mut scenes = Vec::new();
    for faces in [
        [Whole, Whole],
        [Halves, Whole],
        [Whole, Halves],
        [Halves, Halves],
        [Streams, Whole],
        [Halves, Streams],
        [Events, Whole],
        [Halves, Events],
    ] {
        for (deflate, room) in [(None, 30), (deflate(false), 200), (deflate(true), 1000)] {
            scenes.push(Scene { faces, deflate, room });
        }
    }
    scenes
}

fn config(deflate: Option<&DeflateParams>) -> Config {
    let limits = Limits { outbox_bytes_max: 300, message_bytes_max: 200_000, ..Limits::default() };
    let deflate = deflate.map(|it| taiwa_proto::deflate::Deflate {
        keep_our_context: !it.client_no_context_takeover,
        keep_peer_context: !it.client_no_context_takeover,
        message_bytes_min: 20,
        ..Default::default()
    });
    Config { limits, deflate, ..Config::default() }
}

/// Runs one conversation until so many futures were dropped, and closes it.
fn hold(seed: u64, scene: &Scene, drops: u64) -> Talk {
    let config = config(scene.deflate.as_ref());
    let [a, b] = choppy(seed, scene.room);
    let client = socket_with(Role::Client, a, &config, scene.deflate);
    let server = socket_with(Role::Server, b, &config, scene.deflate);
    let mut talk = Talk::new(seed, [scene.faces[0].of(client), scene.faces[1].of(server)]);
    while talk.drops() < drops {
        talk.step();
    }
    talk.finish();
    talk
}

#[test]
fn a_million_futures_dropped_at_every_poll_keep_every_message_whole_once_and_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Entered and not run: timers are set and never go off.
    let _entered = runtime.enter();
    let scenes = scenes();
    let each = DROPS_MIN / scenes.len() as u64 + 1;
    let (mut drops, mut messages, mut polls_max) = (0, 0, 0);
    for (scene, seed) in scenes.iter().zip(1..) {
        println!("seed {seed}: {:?}, room {}", scene.faces, scene.room);
        let talk = hold(seed, scene, each);
        drops += talk.drops();
        messages += talk.messages();
        polls_max = polls_max.max(talk.polls_max());
    }
    println!("{drops} drops, {messages} messages, up to {polls_max} polls to the end of a call");
    assert!(drops > DROPS_MIN && messages > 20_000 && polls_max > 20);
}
