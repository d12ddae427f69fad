//! The browser's `WebSocketStream`: it reads when it is asked to, and says when a message is written.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Poll,
};

use js_sys::{Array, JsString, Object, Promise, Reflect, Uint8Array};
use taiwa_proto::{CloseCode, Message, Utf8Bytes};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, AbortSignal, ReadableStream, ReadableStreamDefaultReader, WritableStream,
    WritableStreamDefaultWriter,
};

use super::{events::fail, state::State};

// web-sys has it only for builds with a flag of its own.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = WebSocketStream)]
    type Native;
    #[wasm_bindgen(catch, constructor, js_class = "WebSocketStream")]
    fn new(url: &str, options: &Options) -> Result<Native, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn opened(this: &Native) -> Promise;
    #[wasm_bindgen(method, getter)]
    fn closed(this: &Native) -> Promise;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Native, info: &CloseInfo) -> Result<(), JsValue>;

    /// `WebSocketStreamOptions`.
    #[wasm_bindgen(extends = Object)]
    type Options;
    #[wasm_bindgen(method, setter)]
    fn set_protocols(this: &Options, names: &Array);
    #[wasm_bindgen(method, setter)]
    fn set_signal(this: &Options, signal: &AbortSignal);

    /// `WebSocketOpenInfo`: what `opened` promises.
    #[wasm_bindgen(extends = Object)]
    type OpenInfo;
    #[wasm_bindgen(method, getter)]
    fn readable(this: &OpenInfo) -> ReadableStream;
    #[wasm_bindgen(method, getter)]
    fn writable(this: &OpenInfo) -> WritableStream;
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &OpenInfo) -> String;
    #[wasm_bindgen(method, getter)]
    fn extensions(this: &OpenInfo) -> String;

    /// `WebSocketCloseInfo`, which `WebSocketError` has the members of.
    #[wasm_bindgen(extends = Object)]
    type CloseInfo;
    #[wasm_bindgen(method, getter, js_name = closeCode)]
    fn close_code(this: &CloseInfo) -> Option<u16>;
    #[wasm_bindgen(method, setter, js_name = closeCode)]
    fn set_close_code(this: &CloseInfo, code: u16);
    #[wasm_bindgen(method, getter)]
    fn reason(this: &CloseInfo) -> Option<String>;
    #[wasm_bindgen(method, setter)]
    fn set_reason(this: &CloseInfo, reason: &str);

    /// What a reader's `read` promises.
    #[wasm_bindgen(extends = Object)]
    type ReadResult;
    #[wasm_bindgen(method, getter)]
    fn done(this: &ReadResult) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &ReadResult) -> JsValue;
}

/// Tells whether the browser has it.
pub(super) fn exist() -> bool {
    Reflect::has(&js_sys::global(), &"WebSocketStream".into()).unwrap_or(false)
}

/// A `WebSocketStream` with its two streams, ours alone.
pub(super) struct Streams {
    native: Rc<Native>,
    state: Rc<State>,
    abort: AbortController,
    halves: Rc<RefCell<Option<Halves>>>,
    unsent: Rc<Unsent>,
}

struct Halves {
    reader: ReadableStreamDefaultReader,
    writer: WritableStreamDefaultWriter,
    reading: Rc<RefCell<Reading>>,
    protocol: String,
    extensions: String,
}

/// At most one read is under way. What it brings belongs to whoever asks next.
#[derive(Default)]
enum Reading {
    #[default]
    Idle,
    Pending,
    Read(JsValue),
    /// The stream is at its end, or broken.
    Over,
}

impl Halves {
    fn of(info: &OpenInfo) -> Result<Self, JsValue> {
        Ok(Self {
            reader: info.readable().get_reader().unchecked_into(),
            writer: info.writable().get_writer()?,
            reading: Rc::default(),
            protocol: info.protocol(),
            extensions: info.extensions(),
        })
    }
}

/// What was handed to the browser and is not on its way yet.
#[derive(Default)]
struct Unsent {
    messages: Cell<usize>,
    bytes: Cell<usize>,
    /// The closing handshake waits for them.
    close: RefCell<Option<Option<(u16, String)>>>,
}

impl Streams {
    /// Begins to open a connection; [`watch_opening`](Self::watch_opening) tells when it is.
    pub(super) fn open(
        url: &str,
        subprotocols: &[String],
        state: &Rc<State>,
    ) -> Result<Self, JsValue> {
        let names: Array = subprotocols.iter().map(|it| JsString::from(it.as_str())).collect();
        let abort = AbortController::new()?;
        let options = Object::new().unchecked_into::<Options>();
        options.set_protocols(&names);
        options.set_signal(&abort.signal());
        let native = Rc::new(Native::new(url, &options)?);
        let closed = native.closed();
        spawn_local({
            let state = Rc::clone(state);
            async move {
                let end = JsFuture::from(closed).await;
                let is_clean = end.is_ok();
                let info = end.unwrap_or_else(|error| error).unchecked_into::<CloseInfo>();
                let code = info.close_code().map_or(CloseCode::ABNORMAL, CloseCode::new);
                let reason = info.reason().unwrap_or_default();
                state.ended(code, Utf8Bytes::from(reason), is_clean);
            }
        });
        let (halves, unsent) = (Rc::default(), Rc::default());
        Ok(Self { native, state: Rc::clone(state), abort, halves, unsent })
    }

    /// Has the state told when the connection is open. The end of an attempt is told as any other.
    pub(super) fn watch_opening(&self) {
        let opened = self.native.opened();
        let (native, state) = (Rc::clone(&self.native), Rc::clone(&self.state));
        let halves = Rc::downgrade(&self.halves);
        spawn_local(async move {
            let Ok(info) = JsFuture::from(opened).await else { return };
            match (halves.upgrade(), Halves::of(&info.unchecked_into())) {
                (Some(halves), Ok(opened)) => {
                    *halves.borrow_mut() = Some(opened);
                    state.opened();
                }
                // Dropped in the very moment in which it opened.
                _ => close(&native, None),
            }
        });
    }

    pub(super) fn protocol(&self) -> String {
        self.halves.borrow().as_ref().map(|it| it.protocol.clone()).unwrap_or_default()
    }

    pub(super) fn extensions(&self) -> String {
        self.halves.borrow().as_ref().map(|it| it.extensions.clone()).unwrap_or_default()
    }

    pub(super) fn buffered_amount(&self) -> usize {
        self.unsent.bytes.get()
    }

    pub(super) fn unsent_messages(&self) -> usize {
        self.unsent.messages.get()
    }

    /// Reads the next message; `None` at the end of the stream. Pending, the state wakes everybody who is
    /// noted when there is more to know: whoever began to read may have lost interest since.
    pub(super) fn poll_read(&self) -> Poll<Option<Message>> {
        let halves = self.halves.borrow();
        let Some(halves) = &*halves else { return Poll::Ready(None) };
        loop {
            match halves.reading.replace(Reading::Idle) {
                Reading::Idle => self.begin_to_read(halves),
                Reading::Pending => {
                    halves.reading.replace(Reading::Pending);
                    return Poll::Pending;
                }
                Reading::Over => {
                    halves.reading.replace(Reading::Over);
                    return Poll::Ready(None);
                }
                // Behind a message that broke a limit the stream is only read to its end.
                Reading::Read(_) if self.state.has_failed() => {}
                Reading::Read(payload) => match self.state.read(&payload) {
                    Ok(message) => return Poll::Ready(Some(message)),
                    Err(failure) => fail(&self.state, failure, |with| self.close(with)),
                },
            }
        }
    }

    /// Tells whether the stream is at its end.
    pub(super) fn is_read(&self) -> bool {
        match &*self.halves.borrow() {
            Some(halves) => matches!(&*halves.reading.borrow(), Reading::Over),
            None => true,
        }
    }

    fn begin_to_read(&self, halves: &Halves) {
        halves.reading.replace(Reading::Pending);
        let read = JsFuture::from(halves.reader.read());
        let (reading, state) = (Rc::clone(&halves.reading), Rc::clone(&self.state));
        spawn_local(async move {
            let read = read.await.map(JsCast::unchecked_into::<ReadResult>);
            // After the end and after an error all further reads would give the same.
            reading.replace(match read {
                Ok(read) if !read.done() => Reading::Read(read.value()),
                _ => Reading::Over,
            });
            state.wake();
        });
    }

    pub(super) fn queue(&self, message: &Message) {
        let halves = self.halves.borrow();
        let Some(halves) = &*halves else { return };
        let chunk = match message {
            Message::Text(text) => JsValue::from_str(text),
            Message::Binary(bytes) => Uint8Array::from(&bytes[..]).into(),
        };
        let written = JsFuture::from(halves.writer.write_with_chunk(&chunk));
        let len = message.as_bytes().len();
        let (native, state) = (Rc::clone(&self.native), Rc::clone(&self.state));
        let unsent = Rc::clone(&self.unsent);
        unsent.messages.set(unsent.messages.get() + 1);
        unsent.bytes.set(unsent.bytes.get() + len);
        spawn_local(async move {
            // An error is the connection's end, which `closed` tells.
            let _ = written.await;
            unsent.messages.set(unsent.messages.get() - 1);
            unsent.bytes.set(unsent.bytes.get() - len);
            if unsent.messages.get() == 0
                && let Some(with) = unsent.close.take()
            {
                close(&native, with);
            }
            state.wake();
        });
    }

    /// Sends a Close frame behind all that was queued.
    pub(super) fn close(&self, with: Option<(u16, &str)>) {
        let with = with.map(|(code, reason)| (code, reason.to_owned()));
        match self.unsent_messages() {
            0 => close(&self.native, with),
            _ => *self.unsent.close.borrow_mut() = Some(with),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // One or the other: Chromium 156 crashes when an attempt that was given up is closed as well.
        match self.halves.borrow().is_some() {
            true => self.close(None),
            false => self.abort.abort(),
        }
    }
}

/// Codes and reasons were checked before, so the browser has nothing to object to.
fn close(native: &Native, with: Option<(u16, String)>) {
    let info = Object::new().unchecked_into::<CloseInfo>();
    if let Some((code, reason)) = with {
        info.set_close_code(code);
        info.set_reason(&reason);
    }
    let _ = native.close(&info);
}
