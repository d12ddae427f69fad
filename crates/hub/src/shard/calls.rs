//! Asking the app, and calls in both directions.

use std::sync::Arc;

use taiwa_core::{
    Answer, CallId, Event, Link, Payload, Question, Refusal, RefusalKind, Reply, Token,
};

use super::{Now, Shard, arrive::nonsense, session::Call, timers::Due, waiting::Waiting};
use crate::{
    letter::Text,
    order::Done,
    outlet::{Outlet, Seat, Ticket},
    settings::Rule,
};

impl Shard {
    /// Asks the app on behalf of a session, or of nobody.
    pub(super) fn question(
        &mut self,
        seat: Option<Seat>,
        waiting: Waiting,
        question: Question,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        if let Some(session) = seat.and_then(|it| self.sessions.get_mut(it)) {
            if session.asked >= self.settings.limits.asked_max {
                return Err(Refusal::new(RefusalKind::Limit, "too many questions at once"));
            }
            session.asked += 1;
        }
        let full = |_| Refusal::new(RefusalKind::Unavailable, "too many questions");
        let ticket = self.waiting.insert(waiting).map_err(full)?;
        match out.ask(ticket, question) {
            Some(answer) => self.take_answer(ticket, answer, now, out),
            None => {
                self.schedule(now.at + self.settings.app_deadline, Due::Question(ticket));
            }
        }
        Ok(())
    }

    /// Tells the app something without waiting for it.
    pub(super) fn notify(&mut self, question: Question, now: Now, out: &mut dyn Outlet) {
        // Nobody waits for the answer, so nobody is told of a refusal.
        let _ = self.question(None, Waiting::Nothing, question, now, out);
    }

    /// Takes an answer of the app that came later. An answer behind the deadline is too late.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        self.take_answer(ticket, answer, now, out);
        self.read_own(now, out);
    }

    pub(super) fn take_answer(
        &mut self,
        ticket: Ticket,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(waiting) = self.waiting.remove(ticket) else { return };
        let seat = match &waiting {
            Waiting::Admission { seat, .. }
            | Waiting::Refresh { seat, .. }
            | Waiting::Authorization { seat, .. }
            | Waiting::SubscriptionRefresh { seat, .. }
            | Waiting::Permission { seat, .. }
            | Waiting::Answer { seat, .. } => Some(*seat),
            _ => None,
        };
        if let Some(seat) = seat {
            let Some(session) = self.sessions.get_mut(seat) else { return };
            session.asked = session.asked.saturating_sub(1);
            if session.leaving {
                return;
            }
        }
        match waiting {
            Waiting::Admission { seat, link, token, connect } => {
                self.admitted((seat, link, token), *connect, answer, now, out);
            }
            Waiting::Refresh { seat, link, token } => {
                self.refreshed((seat, link), token, answer, now, out);
            }
            Waiting::Authorization { seat, link, subscribe, then } => match answer {
                Ok(Answer::Authorization(it)) => {
                    self.begin(seat, link, subscribe, *it, then, now, out);
                }
                other => {
                    let refusal = other.err().unwrap_or_else(nonsense);
                    self.not_begun(seat, then, refusal, out);
                }
            },
            Waiting::SubscriptionRefresh { seat, link, channel, token } => {
                self.subscription_refreshed((seat, link), &channel, token, answer, now, out);
            }
            Waiting::Permission { seat, link, token } => match answer {
                Ok(Answer::Publish(publish)) => self.hand_over(seat, link, token, *publish, out),
                other => {
                    self.counters.refused_publications += 1;
                    self.refuse(seat, token, other.err().unwrap_or_else(nonsense), out);
                }
            },
            Waiting::Answer { seat, token } => match answer {
                Ok(Answer::Payload(payload)) => {
                    out.event(seat, Event::Reply(token, Ok(Reply::Answer(payload))));
                }
                other => self.refuse(seat, token, other.err().unwrap_or_else(nonsense), out),
            },
            _ => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a command")]
    pub(super) fn call(
        &mut self,
        seat: Seat,
        token: Token,
        link: Link,
        method: Arc<str>,
        payload: Payload,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<Option<Reply>, Refusal> {
        let who = self.admitted_client(seat, link)?;
        self.fits(&payload)?;
        if method.len() > self.settings.limits.name_bytes_max {
            return Err(Refusal::new(RefusalKind::Limit, "the method's name is too long"));
        }
        self.rule_of_calls(&self.settings.call, who.user.is_some())?;
        let question = Question::Call { who, method, payload };
        self.question(Some(seat), Waiting::Answer { seat, token }, question, now, out)?;
        Ok(None)
    }

    pub(super) fn tell(
        &mut self,
        seat: Seat,
        link: Link,
        payload: Payload,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<Option<Reply>, Refusal> {
        let who = self.admitted_client(seat, link)?;
        self.fits(&payload)?;
        self.rule_of_calls(&self.settings.tell, who.user.is_some())?;
        self.notify(Question::Tell { who, payload }, now, out);
        Ok(Some(Reply::Done))
    }

    fn rule_of_calls(&self, rule: &Rule, has_user: bool) -> Result<(), Refusal> {
        match rule {
            Rule::All | Rule::App => Ok(()),
            Rule::Users if has_user => Ok(()),
            Rule::Nobody => {
                Err(Refusal::new(RefusalKind::NotAvailable, "there is nothing to call here"))
            }
            _ => Err(Refusal::new(RefusalKind::Forbidden, "this needs a user")),
        }
    }

    /// Calls a client for an order of another shard, or of this one.
    #[expect(clippy::too_many_arguments, reason = "the parts of an order")]
    pub(super) fn call_client(
        &mut self,
        seat: Seat,
        answer_to: (u16, Ticket),
        method: Arc<str>,
        payload: Payload,
        deadline: std::time::Duration,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let calls_max = self.settings.limits.calls_max;
        let gone = || Refusal::new(RefusalKind::NotFound, "there is no such session");
        let session = self.sessions.get_mut(seat).filter(|it| !it.leaving).ok_or_else(gone)?;
        if session.kept.as_ref().is_some_and(|it| it.until.is_some()) {
            return Err(Refusal::new(RefusalKind::Unavailable, "the client is away"));
        }
        if session.calls.len() >= calls_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many calls to this client at once"));
        }
        self.calls += 1;
        let id = CallId(self.calls);
        let link = session.links.first().map_or(Link(0), |it| it.link);
        session.calls.push(Call { id, answer_to });
        self.counters.calls += 1;
        self.schedule(now.at + deadline, Due::Call(seat, id));
        out.event(seat, Event::Call(id, link, method, payload));
        Ok(())
    }

    pub(super) fn call_answered(
        &mut self,
        seat: Seat,
        id: CallId,
        answer: Result<Payload, Refusal>,
        out: &mut dyn Outlet,
    ) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(at) = session.calls.iter().position(|it| it.id == id) else { return };
        let call = session.calls.swap_remove(at);
        self.answer_order(call.answer_to, answer.map(Done::Answer), out);
    }

    pub(super) fn answer_order(
        &mut self,
        (shard, ticket): (u16, Ticket),
        result: Result<Done, Refusal>,
        out: &mut dyn Outlet,
    ) {
        self.post(shard, Text::TaskDone(ticket, Box::new(result)), out);
    }
}
