//! [`WebSocketConfig`] and [`Role`].

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that accepted.
    Server,
    /// The end that connected.
    Client,
}

/// Limits of a connection.
///
/// ```
/// use taiwa::compat::tungstenite::tungstenite::protocol::WebSocketConfig;
/// let config = WebSocketConfig::default().max_message_size(Some(1 << 20));
/// assert_eq!(config.max_frame_size, Some(16 << 20));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// Without effect: connections of a thread share one read buffer of 64 KiB. Default 128 KiB.
    pub read_buffer_size: usize,
    /// Bytes up to which messages are collected before they are written without being flushed.
    /// Default 128 KiB; 0 writes each message at once.
    pub write_buffer_size: usize,
    /// Bytes that may wait to be written. Default: no limit. Past it:
    /// [`Error::WriteBufferFull`](super::error::Error::WriteBufferFull).
    pub max_write_buffer_size: usize,
    /// Bytes of one message from the peer; `None` for no limit. Default 64 MiB. Past it:
    /// [`CapacityError::MessageTooLong`](super::error::CapacityError::MessageTooLong).
    pub max_message_size: Option<usize>,
    /// Bytes of payload of one frame from the peer; `None` for no limit. Default 16 MiB. Past it: as above.
    pub max_frame_size: Option<usize>,
    /// Whether a server takes frames without a mask, against RFC 6455 §5.1. Default `false`.
    pub accept_unmasked_frames: bool,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            read_buffer_size: 128 << 10,
            write_buffer_size: 128 << 10,
            max_write_buffer_size: usize::MAX,
            max_message_size: Some(64 << 20),
            max_frame_size: Some(16 << 20),
            accept_unmasked_frames: false,
        }
    }
}

macro_rules! setters {
    ($($field:ident: $type:ty),* $(,)?) => {$(
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

impl WebSocketConfig {
    setters! {
        read_buffer_size: usize,
        write_buffer_size: usize,
        max_write_buffer_size: usize,
        max_message_size: Option<usize>,
        max_frame_size: Option<usize>,
        accept_unmasked_frames: bool,
    }

    /// # Panics
    /// If no message would ever fit.
    pub(super) fn assert_valid(&self) {
        assert!(
            self.write_buffer_size < self.max_write_buffer_size,
            "max_write_buffer_size must be greater than write_buffer_size"
        );
    }
}
