//! Pipes: the input is sent whole, what is received is written whole, and the ending follows rules.

use std::{
    collections::VecDeque,
    fs::File,
    future::pending,
    io,
    time::{Instant, SystemTime},
};

use taiwa::{CloseCode, Error, Message, TrySendError, WebSocket};
use tokio::{
    sync::mpsc::{self, OwnedPermit},
    time::{Duration, sleep_until},
};

use super::{
    Opened,
    input::{self, Batches, InputFault},
    output::{Received, Writer, Writing},
    tell::{Tell, Way},
    turn::{Turn, Wish, turn},
};
use crate::{
    args::{Connect, Ending},
    exit::{self, Exit, Failure},
    signals::{Signal, Signals},
};

/// How long silence lasts after the end of the input, unless it is said.
const IDLE: Duration = Duration::from_secs(2);

/// When we close once the input has ended and is sent.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// After so long without a message.
    Idle(Duration),
    /// After so long.
    Linger(Duration),
    /// Never.
    Stay,
}

impl Rule {
    fn of(ending: &Ending, counting: bool) -> Self {
        let idle = match ending.idle_timeout {
            Some(time) => time.0,
            None if counting => None,
            None => Some(IDLE),
        };
        match (ending.stay, ending.linger, idle) {
            (true, ..) => Self::Stay,
            (_, Some(time), _) => time.0.map_or(Self::Stay, Self::Linger),
            (_, _, idle) => idle.map_or(Self::Stay, Self::Idle),
        }
    }
}

/// How far the input is.
enum Input {
    Open(Batches),
    /// All read, not all written yet.
    Read,
    /// All written.
    Sent,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our Close frame is queued or sent.
    Closing,
    Ended,
}

pub(super) async fn run(
    opened: Opened,
    args: &Connect,
    given: Option<Vec<Message>>,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let Opened { socket, opened, tell, .. } = opened;
    let nothing_to_read = args.count().is_some() && io::IsTerminal::is_terminal(&io::stdin());
    let input = match &given {
        Some(_) => Input::Read,
        None if nothing_to_read => Input::Read,
        None => Input::Open(input::read_stdin(&args.sending)),
    };
    let writing = start_writing(args, opened)?;
    let mut pipe = Pipe {
        socket,
        tell,
        input,
        unsent: given.unwrap_or_default().into(),
        queue: writing.queue.clone(),
        permit: None,
        rule: Rule::of(&args.ending, args.count().is_some()),
        close_at: None,
        missing: args.count(),
        no_close: args.ending.no_close,
        state: State::Open,
        outcome: None,
    };
    while pipe.state != State::Ended {
        pipe.step(&mut signals).await?;
    }
    let outcome = pipe.finish();
    // What was received is written, unless whoever waits for us has had enough.
    tokio::select! {
        written = writing.finish() => {
            written.map_err(|it| Failure::new(Exit::Inside, format_args!("output: {it}")))?;
        }
        signal = signals.next() => return Ok(signal.into()),
    }
    outcome
}

fn start_writing(args: &Connect, opened: Instant) -> Result<Writing, Failure> {
    let Some(path) = &args.receiving.output else {
        let for_people = io::IsTerminal::is_terminal(&io::stdout());
        return Ok(Writing::start(Writer::new(args.style(for_people), opened), io::stdout()));
    };
    let file = File::create(path)
        .map_err(|it| Failure::new(Exit::Usage, format_args!("{}: {it}", path.display())))?;
    Ok(Writing::start(Writer::new(args.style(false), opened), file))
}

struct Pipe {
    socket: WebSocket,
    tell: Tell,
    input: Input,
    /// Read and not taken by the connection yet.
    unsent: VecDeque<Message>,
    queue: mpsc::Sender<Received>,
    /// A place in the queue for the next message: without one, nothing is received.
    permit: Option<OwnedPermit<Received>>,
    rule: Rule,
    close_at: Option<Instant>,
    /// Messages that are waited for.
    missing: Option<u64>,
    no_close: bool,
    state: State,
    /// What was decided before the end: it outranks how the connection ends.
    outcome: Option<Result<Exit, Failure>>,
}

/// One thing that happened.
enum Happening {
    Input(Option<Result<Vec<Message>, InputFault>>),
    Turn(Turn),
    Permit(OwnedPermit<Received>),
    /// Nobody reads what we write any more.
    Unread,
    Time,
    Signal(Signal),
}

impl Pipe {
    async fn step(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        self.hand_over();
        match self.wait(signals).await {
            Happening::Input(Some(Ok(messages))) => self.unsent.extend(messages),
            Happening::Input(Some(Err(fault))) => {
                self.input = Input::Read;
                self.outcome = Some(Err(Failure::new(Exit::Usage, fault)));
                self.close();
            }
            Happening::Input(None) => self.input = Input::Read,
            Happening::Turn(Turn::Room) => {}
            Happening::Turn(Turn::Written) => {
                self.input = Input::Sent;
                self.close_at = match self.rule {
                    Rule::Idle(time) | Rule::Linger(time) => Some(Instant::now() + time),
                    Rule::Stay => None,
                };
            }
            Happening::Turn(Turn::Received(received)) => self.take(received),
            Happening::Permit(permit) => self.permit = Some(permit),
            Happening::Unread => {
                // As good as a pipe of shell commands: who reads no more has what it wanted. If
                // writing failed otherwise, `Writing::finish` tells.
                self.outcome = Some(Ok(Exit::Good));
                self.close();
                self.state = State::Ended;
            }
            Happening::Time => self.close(),
            Happening::Signal(signal) => {
                if self.state == State::Closing {
                    self.state = State::Ended;
                }
                self.outcome = Some(Ok(signal.into()));
                self.close();
            }
        }
        Ok(())
    }

    /// Gives the connection what it has room for.
    fn hand_over(&mut self) {
        while let Some(message) = self.unsent.pop_front() {
            match self.socket.try_send(message.clone()) {
                Ok(()) => self.tell.message(Way::Out, &message),
                Err(TrySendError::Full(message)) => {
                    self.unsent.push_front(message);
                    break;
                }
                Err(TrySendError::Closing(message)) => {
                    self.unsent.push_front(message);
                    self.drop_input();
                }
            }
        }
    }

    /// The connection closes: nothing more is sent.
    fn drop_input(&mut self) {
        if !self.unsent.is_empty() {
            self.tell.note(format_args!("not sent: {} messages or more", self.unsent.len()));
        }
        self.unsent.clear();
        self.input = Input::Sent;
    }

    async fn wait(&mut self, signals: &mut Signals) -> Happening {
        let wish = Wish {
            receive: self.permit.is_some(),
            room: !self.unsent.is_empty(),
            written: self.unsent.is_empty() && matches!(self.input, Input::Read),
        };
        let more = async {
            match &mut self.input {
                Input::Open(batches) if !wish.room => batches.recv().await,
                _ => pending().await,
            }
        };
        let reserve = async {
            match self.permit {
                Some(_) => pending().await,
                None => self.queue.clone().reserve_owned().await,
            }
        };
        let due = async {
            match self.close_at {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => Happening::Signal(signal),
            () = self.queue.closed() => Happening::Unread,
            permit = reserve => permit.map_or(Happening::Unread, Happening::Permit),
            turn = turn(&mut self.socket, wish) => Happening::Turn(turn),
            batch = more => Happening::Input(batch),
            () = due => Happening::Time,
        }
    }

    fn take(&mut self, received: Result<Option<Message>, Error>) {
        match received {
            Ok(Some(message)) if self.missing == Some(0) => drop(message),
            Ok(Some(message)) => {
                self.tell.message(Way::In, &message);
                let (at, clock) = (Instant::now(), SystemTime::now());
                let permit = self.permit.take().expect("nothing is received without one");
                permit.send(Received { message, at, clock });
                if let (Rule::Idle(time), Input::Sent, true) =
                    (self.rule, &self.input, self.close_at.is_some())
                {
                    self.close_at = Some(at + time);
                }
                self.missing = self.missing.map(|it| it - 1);
                if self.missing == Some(0) {
                    self.outcome = Some(Ok(Exit::Good));
                    self.close();
                }
            }
            Ok(None) => self.state = State::Ended,
            Err(error) => {
                self.state = State::Ended;
                let failure = || Err(Failure::new(exit::of_error(&error), &error));
                self.outcome.get_or_insert_with(failure);
            }
        }
    }

    /// Closes, or with `--no-close` ends without a word.
    fn close(&mut self) {
        self.close_at = None;
        if self.state != State::Open {
            return;
        }
        if self.no_close {
            self.state = State::Ended;
            self.outcome.get_or_insert(Ok(Exit::Good));
            return;
        }
        self.socket.start_close(CloseCode::NORMAL, "").expect("1000 may be sent");
        self.state = State::Closing;
        self.drop_input();
    }

    /// The exit code, once the connection has ended.
    fn finish(mut self) -> Result<Exit, Failure> {
        let closed = self.socket.closed().cloned();
        if let Some(closed) = &closed {
            self.drop_input();
            if self.outcome.is_none() {
                self.tell.closed(closed);
            }
        }
        let by_closing = closed.as_ref().map_or(Exit::Good, exit::of_closed);
        if self.no_close {
            // Its destructor would send a Close frame; the process ends and the kernel closes.
            std::mem::forget(self.socket);
        }
        match self.outcome {
            Some(outcome) => outcome,
            None if by_closing == Exit::Good && self.missing.is_some() => {
                let message = "closed before --count messages came";
                Err(Failure::new(Exit::Unmet, message))
            }
            None => Ok(by_closing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Time;

    #[track_caller]
    fn check(ending: Ending, expected: &str) {
        let counting = ending.one || ending.count.is_some();
        assert_eq!(format!("{:?}", Rule::of(&ending, counting)), expected);
    }

    #[test]
    fn the_rule_follows_from_the_flags() {
        let ending = |count, idle_timeout, linger, stay| Ending {
            one: false,
            count,
            idle_timeout,
            linger,
            stay,
            no_close: false,
            close_timeout: Time(None),
        };
        let secs = |it| Some(Time(Some(Duration::from_secs(it))));
        check(ending(None, None, None, false), "Idle(2s)");
        check(ending(None, secs(5), None, false), "Idle(5s)");
        check(ending(None, Some(Time(None)), None, false), "Stay");
        check(ending(None, None, secs(5), false), "Linger(5s)");
        check(ending(None, None, None, true), "Stay");
        check(ending(Some(3), None, None, false), "Stay");
        check(ending(Some(3), secs(5), None, false), "Idle(5s)");
    }
}
