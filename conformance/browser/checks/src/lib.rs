//! What taiwa's client proves in a browser: checks that a page calls by their names, each through both of the
//! browser's interfaces.

mod both;
mod ends;
mod faces;
mod halves;
mod limits;
mod talk;

use std::{future::Future, panic, pin::Pin, time::Duration};

use js_sys::{Function, Promise};
use taiwa::{BrowserInterface, Client, ClientBuilder, WebSocket};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn complain(what: &str);
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(run: &Function, millis: u32);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn millis() -> f64;
}

/// Where a check finds its peers, and by which way.
#[derive(Clone)]
struct Here {
    interface: BrowserInterface,
    /// `ws://` and the address of the server that serves the page.
    server: String,
    /// The same of the peer that keeps no rule.
    raw: String,
}

impl Here {
    fn client(&self) -> ClientBuilder {
        Client::builder().interface(self.interface)
    }

    async fn open(&self, path: &str) -> WebSocket {
        self.open_by(self.client(), path).await
    }

    async fn open_by(&self, client: ClientBuilder, path: &str) -> WebSocket {
        let client = client.build().expect("valid settings");
        client.connect(&format!("{}{path}", self.server)).await.expect("the server accepts")
    }

    /// A name for the server to remember something by.
    fn name(&self, check: &str) -> String {
        format!("{check}-{:?}-{}", self.interface, millis() as u64)
    }

    fn is_streams(&self) -> bool {
        self.interface == BrowserInterface::WebSocketStream
    }
}

async fn sleep(time: Duration) {
    let done = Promise::new(&mut |resolve, _| set_timeout(&resolve, time.as_millis() as u32));
    let _ = JsFuture::from(done).await;
}

type Check = fn(Here) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! checks {
    ($($room:ident: $($name:ident)*;)*) => {
        const CHECKS: &[(&str, Check)] = &[
            $($((concat!(stringify!($room), "/", stringify!($name)),
                |here| Box::pin($room::$name(here)))),*),*
        ];
    };
}
checks! {
    talk: text_and_bytes_come_back sixteen_mebibytes_come_back many_messages_keep_their_order
        subprotocol_is_agreed_on deflate_is_agreed_on one_program_runs_here_too;
    ends: peers_code_and_reason_are_told our_code_and_reason_reach_the_peer
        close_without_a_code_is_1005 codes_of_the_browsers_own_are_misuse
        messages_before_the_close_come_first a_lost_connection_is_an_error
        a_broken_rule_ends_the_connection a_refused_handshake_is_an_error
        bad_requests_are_told_before_the_network a_silent_server_is_late
        a_peer_that_does_not_close_is_late a_dropped_socket_is_closed
        a_dropped_attempt_is_given_up sending_after_the_end_is_an_error
        an_interface_is_there_or_it_is_told;
    limits: a_message_over_the_limit_is_a_fault messages_that_nobody_receives_are_bounded
        a_slow_reader_makes_senders_wait a_reader_that_sleeps_is_late
        dropped_futures_lose_nothing;
    faces: streams_have_two_ends a_stream_and_a_sink_echo a_socket_is_stream_and_sink closing_the_sink_closes
        a_stream_that_is_given_up_does_not_open events_come_in_their_order
        events_of_a_failed_attempt_are_error_and_close a_handle_tells_the_state
        a_full_outbox_ends_an_event_socket;
    halves: halves_work_at_the_same_time the_receiver_hears_what_went_wrong
        senders_go_on_without_a_receiver halves_are_put_together_again
        permits_are_room_for_one_message_each a_cancelled_wait_wakes_nobody_elses_less;
}

const INTERFACES: [(&str, BrowserInterface); 2] = [
    ("WebSocket", BrowserInterface::WebSocket),
    ("WebSocketStream", BrowserInterface::WebSocketStream),
];

/// Returns the names of all checks.
#[wasm_bindgen]
pub fn names() -> Vec<String> {
    let of = |interface: &'static str| CHECKS.iter().map(move |it| format!("{interface}/{}", it.0));
    INTERFACES.iter().flat_map(|it| of(it.0)).collect()
}

/// Runs one check. A panic, told on the console, is how it fails.
///
/// # Errors
/// If there is no check of this name.
#[wasm_bindgen]
pub async fn run(name: String, server: String, raw: String) -> Result<(), JsValue> {
    panic::set_hook(Box::new(|panic| complain(&panic.to_string())));
    let (interface, check) = name.split_once('/').ok_or("no such check")?;
    let interface = INTERFACES.iter().find(|it| it.0 == interface).ok_or("no such interface")?.1;
    let check = CHECKS.iter().find(|it| it.0 == check).ok_or("no such check")?.1;
    check(Here { interface, server, raw }).await;
    Ok(())
}
