//! The dialects that taiwa speaks: to add one is to add a line here.

use taiwa_centrifuge::Centrifuge;
use taiwa_core::Dialect;
use taiwa_phoenix::Phoenix;
use taiwa_plain::Plain;
use taiwa_socketio::SocketIo;
use taiwa_sse::Sse;

use crate::config::settings::Settings;

/// Returns the dialects that are spoken.
pub(crate) fn rooms(settings: &Settings) -> Vec<Box<dyn Dialect>> {
    let dialects = &settings.dialects;
    let all: [(bool, Box<dyn Dialect>); 5] = [
        (dialects.plain.enabled, Box::new(Plain::new(settings.plain()))),
        (dialects.sse.enabled, Box::new(Sse::new(settings.sse()))),
        (dialects.centrifuge.enabled, Box::new(Centrifuge::new(settings.centrifuge()))),
        (dialects.phoenix.enabled, Box::new(Phoenix::new(settings.phoenix()))),
        (dialects.socketio.enabled, Box::new(SocketIo::new(settings.socketio()))),
    ];
    all.into_iter().filter(|it| it.0).map(|it| it.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_enabled_is_not_spoken() {
        let mut settings = Settings::default();
        let names = |settings: &Settings| -> Vec<_> {
            rooms(settings).iter().map(|it| it.name().to_owned()).collect()
        };
        assert_eq!(names(&settings), ["plain", "sse", "centrifuge", "phoenix", "socketio"]);
        settings.dialects.sse.enabled = false;
        assert_eq!(names(&settings), ["plain", "centrifuge", "phoenix", "socketio"]);
    }
}
