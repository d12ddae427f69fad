//! [`Text`]: lines of the log for those who read them in a file: the same as `tracing_subscriber` writes, with half of the
//! work, since each connection that ends has one.

use std::{
    error::Error,
    fmt::{self, Debug, Write},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
        time::FormatTime,
    },
    registry::LookupSpan,
};

/// Writes events; those in colour, or inside of spans, as `tracing_subscriber` does.
pub(super) struct Text {
    clock: Clock,
    theirs: Format<Full, Clock>,
}

impl Text {
    pub(super) fn new() -> Self {
        Self::with(|| Clock(SystemTime::now))
    }

    fn with(clock: fn() -> Clock) -> Self {
        let theirs = Format::default().with_target(false).with_timer(clock());
        Self { clock: clock(), theirs }
    }
}

/// Times by UTC, as `2026-11-23T15:04:05.123456Z`.
struct Clock(fn() -> SystemTime);

impl FormatTime for Clock {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{}", humantime::format_rfc3339_micros(self.0()))
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if out.has_ansi_escapes() || context.lookup_current().is_some() {
            return self.theirs.format_event(context, out, event);
        }
        self.clock.format_time(&mut out)?;
        out.write_str(level(*event.metadata().level()))?;
        let mut fields = Fields { out: out.by_ref(), written: Ok(()), is_first: true };
        event.record(&mut fields);
        fields.written?;
        out.write_char('\n')
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => " ERROR ",
        Level::WARN => "  WARN ",
        Level::INFO => "  INFO ",
        Level::DEBUG => " DEBUG ",
        Level::TRACE => " TRACE ",
    }
}

/// Writes the fields of an event: the message, then what it is about.
struct Fields<'a> {
    out: Writer<'a>,
    written: fmt::Result,
    is_first: bool,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.written.is_ok() {
            self.written = self.try_write(field.name(), value);
        }
    }

    fn try_write(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_char(' ')?;
        }
        if name != "message" {
            self.out.write_str(name.strip_prefix("r#").unwrap_or(name))?;
            self.out.write_char('=')?;
        }
        Escaping(self.out.by_ref()).write_fmt(value)
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.write(field, format_args!("{value}")),
            _ => self.write(field, format_args!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.write(field, format_args!("{value}"));
        let mut source = value.source();
        while let (Some(it), Ok(())) = (source, self.written) {
            self.written = write!(Escaping(self.out.by_ref()), ": {it}");
            source = it.source();
        }
    }
}

/// Writes no character that a terminal takes for an order.
struct Escaping<'a>(Writer<'a>);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Of the other characters above ASCII some begin with the same byte: they only take the longer way.
        if !text.bytes().any(|it| it < b' ' || it == 0x7f || it == 0xc2) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|it| match it {
            '\x1b' | '\x07' | '\x08' | '\x0c' | '\x7f' => {
                write!(self.0, "\\x{:02x}", u32::from(it))
            }
            '\u{80}'..='\u{9f}' => write!(self.0, "\\u{{{:x}}}", u32::from(it)),
            it => self.0.write_char(it),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        time::{Duration, UNIX_EPOCH},
    };

    use tracing::{debug, error, info, info_span, warn};
    use tracing_subscriber::{
        Registry,
        fmt::{self, MakeWriter},
        layer::SubscriberExt,
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn clock() -> Clock {
        Clock(|| UNIX_EPOCH + Duration::from_micros(1_795_446_245_000_007))
    }

    fn written<E>(format: E, colour: bool, say: fn()) -> String
    where
        E: FormatEvent<Registry, fmt::format::DefaultFields> + Send + Sync + 'static,
    {
        let out = Written::default();
        let layer = fmt::layer().with_writer(out.clone()).with_ansi(colour).event_format(format);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    fn say() {
        let nobody: Option<&str> = None;
        let who = "127.0.0.1:8000";
        info!(id = 7, %who, user = nobody, path = "/a \"b\"", seconds = 0.5, "closed: {}", 1000);
        info!(user = Some("mia"), received = 18_446_744_073_709_551_615_u64, less = -3, is = true);
        warn!(r#type = "x", "\x1b[31mred\x07, caf\u{e9}, \u{85}");
        error!("only words");
        debug!(list = ?[1, 2], "何か");
    }

    #[test]
    fn it_writes_what_the_library_writes() {
        for colour in [false, true] {
            let theirs = Format::default().with_target(false).with_timer(clock());
            let theirs = written(theirs, colour, say);
            assert_eq!(theirs.lines().count(), 5, "{theirs}");
            assert!(theirs.starts_with("2026-11-23T15:04:05.000007Z") || colour, "{theirs}");
            assert_eq!(written(Text::with(clock), colour, say), theirs);
        }
    }

    #[test]
    fn what_happens_inside_of_a_span_says_so() {
        let said = written(Text::with(clock), false, || {
            info_span!("handshake", of = 1).in_scope(|| info!("begun"));
        });
        assert!(said.ends_with("  INFO handshake{of=1}: begun\n"), "{said}");
    }

    #[test]
    fn an_error_says_what_is_behind_it() {
        let said = written(Text::with(clock), false, || {
            let inner = io::Error::other("\x1b inner");
            let error: Box<dyn Error> = Box::new(io::Error::other(inner));
            error!(error = &*error as &dyn Error, "it failed");
        });
        assert!(said.ends_with(" ERROR it failed error=\\x1b inner\n"), "{said}");
    }
}
