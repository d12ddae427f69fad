//! The browser's `WebSocket`: everything it tells comes as an event, and it can't be told to wait.

use std::{cell::RefCell, rc::Rc, time::Duration};

use js_sys::{Array, JsString};
use taiwa_proto::{CloseCode, Message, Side, Utf8Bytes};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent};

use super::{
    state::{Failure, Phase, State},
    timer::Timer,
};

/// How often `bufferedAmount` is looked at while somebody waits for it to fall: there is no event.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A `WebSocket` and what listens to it.
pub(super) struct Events {
    socket: web_sys::WebSocket,
    state: Rc<State>,
    look: RefCell<Option<Timer>>,
    /// They live as long as the browser may call them.
    _listeners: Listeners,
}

struct Listeners {
    _open: Closure<dyn FnMut(Event)>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl Events {
    /// Begins to open a connection.
    pub(super) fn open(
        url: &str,
        subprotocols: &[String],
        state: &Rc<State>,
    ) -> Result<Self, JsValue> {
        let names: Array = subprotocols.iter().map(|it| JsString::from(it.as_str())).collect();
        let socket = web_sys::WebSocket::new_with_str_sequence(url, &names)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let listeners = Listeners {
            _open: Closure::new({
                let state = Rc::clone(state);
                move |_| state.opened()
            }),
            _message: Closure::new({
                let (socket, state) = (socket.clone(), Rc::clone(state));
                move |event: MessageEvent| arrived(&socket, &state, &event.data())
            }),
            _close: Closure::new({
                let state = Rc::clone(state);
                move |event: CloseEvent| {
                    let code = CloseCode::new(event.code());
                    state.ended(code, Utf8Bytes::from(event.reason()), event.was_clean());
                }
            }),
        };
        socket.set_onopen(Some(listeners._open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(listeners._message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(listeners._close.as_ref().unchecked_ref()));
        let look = RefCell::default();
        Ok(Self { socket, state: Rc::clone(state), look, _listeners: listeners })
    }

    pub(super) fn protocol(&self) -> String {
        self.socket.protocol()
    }

    pub(super) fn extensions(&self) -> String {
        self.socket.extensions()
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.ready_state() == web_sys::WebSocket::OPEN
    }

    pub(super) fn buffered_amount(&self) -> usize {
        self.socket.buffered_amount() as usize
    }

    pub(super) fn queue(&self, message: &Message) -> Result<(), JsValue> {
        match message {
            Message::Text(text) => self.socket.send_with_str(text),
            Message::Binary(bytes) => self.socket.send_with_u8_array(bytes),
        }
    }

    /// Has all who wait woken when less may be buffered.
    pub(super) fn look_again(&self) {
        let mut look = self.look.borrow_mut();
        if look.as_ref().is_none_or(Timer::is_over) {
            let state = Rc::clone(&self.state);
            *look = Some(Timer::after(LOOK_EVERY, move || state.wake()));
        }
    }

    pub(super) fn close(&self, with: Option<(u16, &str)>) {
        close(&self.socket, with);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        close(&self.socket, None);
    }
}

/// Codes and reasons were checked before, so the browser has nothing to object to.
fn close(socket: &web_sys::WebSocket, with: Option<(u16, &str)>) {
    let _ = match with {
        Some((code, reason)) => socket.close_with_code_and_reason(code, reason),
        None => socket.close(),
    };
}

fn arrived(socket: &web_sys::WebSocket, state: &Rc<State>, payload: &JsValue) {
    if state.phase() != Phase::Open {
        return;
    }
    if let Err(failure) = state.arrived(payload) {
        fail(state, failure, |with| close(socket, with));
    }
}

/// Closes because of what the peer did.
pub(super) fn fail(state: &Rc<State>, failure: Failure, close: impl FnOnce(Option<(u16, &str)>)) {
    if state.begin_close(Side::Us) {
        state.fail(failure);
        close(failure.sendable());
    }
}
