//! Compressors and inflaters that all connections of a thread take turns with.

use std::fmt;

use super::{Deflate, Deflater, Inflater, deflater::Shape};

/// Inflaters kept for the next message that comes in. More are only out at once when that many
/// messages are unfinished.
const INFLATERS_MAX: usize = 4;
/// Compressors kept. Connections ask for different windows, rarely for more than two or three.
const DEFLATERS_MAX: usize = 8;

/// Lends compressors and inflaters for the length of a message, so that a connection that is silent
/// holds none.
///
/// ```
/// use taiwa_proto::deflate::{Shared, Window};
/// let mut shared = Shared::default();
/// // A peer with no_context_takeover:
/// let mut inflater = shared.take_inflater();
/// inflater.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &mut Default::default(), 99).unwrap();
/// shared.give_inflater(inflater);
/// // A peer that keeps its window: the connection holds that, and nothing else.
/// let mut window = Window::new(12);
/// let mut inflater = shared.take_inflater();
/// inflater.put_window(window);
/// inflater.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &mut Default::default(), 99).unwrap();
/// window = inflater.take_window();
/// shared.give_inflater(inflater);
/// assert_eq!(window.len(), 5);
/// ```
#[derive(Default)]
pub struct Shared {
    /// Boxed because they move between here and the connections.
    #[expect(clippy::vec_box, reason = "they are lent in their boxes")]
    inflaters: Vec<Box<Inflater>>,
    /// Most recently used last.
    deflaters: Vec<Deflater>,
}

impl Shared {
    /// Takes out an inflater with an empty window of 15 bits, which serves peers of any window.
    pub fn take_inflater(&mut self) -> Box<Inflater> {
        self.inflaters.pop().unwrap_or_else(|| Box::new(Inflater::new(15)))
    }

    /// Gives an inflater back, after a message or in the middle of one that failed. It forgets all.
    pub fn give_inflater(&mut self, mut inflater: Box<Inflater>) {
        if self.inflaters.len() < INFLATERS_MAX {
            inflater.reset();
            self.inflaters.push(inflater);
        }
    }

    /// Lends a compressor with an empty window of `window_bits` (9 to 15), for one whole message.
    pub fn deflater(&mut self, config: &Deflate, window_bits: u8) -> &mut Deflater {
        let deflater = self.take_deflater(config, window_bits);
        self.deflaters.push_mut(deflater)
    }

    /// Takes out a compressor with an empty window, for a message in fragments.
    pub fn take_deflater(&mut self, config: &Deflate, window_bits: u8) -> Deflater {
        let shape = Shape::new(config, window_bits);
        match self.deflaters.iter().position(|it| it.shape() == shape) {
            Some(at) => {
                let mut deflater = self.deflaters.remove(at);
                deflater.reset();
                deflater
            }
            None => {
                if self.deflaters.len() == DEFLATERS_MAX {
                    self.deflaters.remove(0);
                }
                Deflater::new(config, window_bits)
            }
        }
    }

    /// Gives a compressor back.
    pub fn give_deflater(&mut self, deflater: Deflater) {
        if self.deflaters.len() < DEFLATERS_MAX {
            self.deflaters.push(deflater);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("inflaters", &self.inflaters.len())
            .field("deflaters", &self.deflaters.len())
            .finish()
    }
}
