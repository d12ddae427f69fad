//! One connection and one message that is too large to hold: a thread that blocks, and every byte compared.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bench_pattern::{PERIOD, pattern};

use crate::{
    handshake::{Compression, Handshake},
    noise::Noise,
    wire::{self, Expected, Found, Incoming},
};

/// How long nothing at all may happen.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 256 << 10;
/// Periods of the pattern in one write.
const PERIODS: u64 = 2;

/// A connection for large messages.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    stream: TcpStream,
    incoming: Incoming,
    read: Vec<u8>,
    noise: Noise,
    interrupted: &'a AtomicBool,
}

impl<'a> Line<'a> {
    /// Connects and opens.
    pub(crate) fn open(path: &str, port: u16, interrupted: &'a AtomicBool) -> Result<Self, String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.set_read_timeout(Some(SILENCE_MAX)).map_err(told)?;
        stream.set_write_timeout(Some(SILENCE_MAX)).map_err(told)?;
        let (mut noise, mut request) = (Noise::new(u64::from(port)), vec![]);
        let mut handshake =
            Handshake::start(&mut request, path, port, Compression::None, &mut noise);
        let (incoming, read) = (Incoming::default(), vec![0; READ_BYTES]);
        let mut line = Self { stream, incoming, read, noise, interrupted };
        line.write(&request)?;
        loop {
            let n = line.read()?;
            match handshake.take(&line.read[..n])? {
                Some(taken) if taken == n => return Ok(line),
                Some(_) => return Err("bytes behind the handshake".into()),
                None => {}
            }
        }
    }

    /// Sends one message of many fragments, and waits until the server tells how long it was.
    pub(crate) fn give(&mut self, bytes: u64) -> Result<(), String> {
        // What stands in the middle is made once, or the server would wait for its masking.
        let (period, mut middle) = (PERIOD as u64, vec![]);
        for at in 0..PERIODS {
            self.fragments(&mut middle, period * (1 + at)..period * (2 + at), u64::MAX);
        }
        let (mut sent, mut out) = (0, vec![]);
        while sent < bytes {
            if 0 < sent && sent + period * PERIODS < bytes {
                self.write(&middle)?;
                sent += period * PERIODS;
                continue;
            }
            let end = bytes.min(sent + period);
            out.clear();
            self.fragments(&mut out, sent..end, bytes);
            self.write(&out)?;
            sent = end;
        }
        self.wait_for(Expected::Bytes(bytes.to_string().as_bytes()))
    }

    /// Appends the frames of a part of a message that has `bytes` in all.
    fn fragments(&mut self, out: &mut Vec<u8>, part: Range<u64>, bytes: u64) {
        let mut at = part.start;
        while at < part.end {
            let opcode = if at == 0 { wire::BINARY } else { wire::CONTINUATION };
            let payload = pattern().at(at, part.end - at);
            at += payload.len() as u64;
            let fin = if at == bytes { wire::FIN } else { 0 };
            wire::fragment(out, fin | opcode, payload, self.noise.key());
        }
    }

    /// Asks for one message, and waits until all of it is there.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), String> {
        let mut out = vec![];
        wire::frame(&mut out, wire::BINARY, bytes.to_string().as_bytes(), self.noise.key());
        self.write(&out)?;
        self.wait_for(Expected::Pattern(bytes))
    }

    fn wait_for(&mut self, expected: Expected<'_>) -> Result<(), String> {
        loop {
            let n = self.read()?;
            let mut at = 0;
            while at < n {
                let (taken, found) = self.incoming.take(&self.read[at..n], Some(expected))?;
                at += taken;
                match found {
                    None => {}
                    Some(Found::Message) if at == n => return Ok(()),
                    Some(Found::Ping(payload)) => {
                        let mut out = vec![];
                        wire::frame(&mut out, wire::PONG, &payload, self.noise.key());
                        self.write(&out)?;
                    }
                    Some(other) => return Err(format!("{other:?} was not due")),
                }
            }
        }
    }

    fn read(&mut self) -> Result<usize, String> {
        self.check_interrupted()?;
        match self.stream.read(&mut self.read).map_err(told)? {
            0 => Err("the server ended the TCP connection".into()),
            n => Ok(n),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.check_interrupted()?;
        self.stream.write_all(bytes).map_err(told)
    }

    fn check_interrupted(&self) -> Result<(), String> {
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err("interrupted".into()),
            false => Ok(()),
        }
    }
}

fn told(why: io::Error) -> String {
    match why.kind() {
        io::ErrorKind::WouldBlock => {
            format!("nothing moved for {} s", SILENCE_MAX.as_secs())
        }
        _ => why.to_string(),
    }
}
