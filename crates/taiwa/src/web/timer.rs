//! A browser's timer, and what its clock can't be asked: `std::time::Instant` has none on wasm32.

use std::{cell::Cell, rc::Rc, time::Duration};

use js_sys::Function;
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    // Globals, so that they are there in a window and in a worker.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(run: &Function, millis: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// Runs a closure once, later; never if it is dropped before.
pub(super) struct Timer {
    id: JsValue,
    is_over: Rc<Cell<bool>>,
    /// Lives as long as the browser may call it.
    _run: Closure<dyn FnMut()>,
}

/// Browsers keep the time in 32 bits and take more for none at all.
const MILLIS_MAX: f64 = i32::MAX as f64;

impl Timer {
    pub(super) fn after(within: Duration, run: impl FnOnce() + 'static) -> Self {
        let is_over = Rc::new(Cell::new(false));
        let run = Closure::once({
            let is_over = Rc::clone(&is_over);
            move || {
                is_over.set(true);
                run();
            }
        });
        let millis = (within.as_secs_f64() * 1000.0).ceil().min(MILLIS_MAX);
        let id = set_timeout(run.as_ref().unchecked_ref(), millis);
        Self { id, is_over, _run: run }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}
