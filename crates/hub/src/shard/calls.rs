//! Asking the app, and calls in both directions.

use std::sync::Arc;

use taiwa_core::{
    Answer, CallId, Event, Link, Payload, Question, Refusal, RefusalKind, Reply, SessionId,
};

use super::{
    Now, Shard,
    arrive::{Answered, nonsense},
    session::{AnswerTo, Call},
    timers::Due,
    waiting::{Asker, Then, Waiting},
};
use crate::{
    letter::{Calling, Text},
    order::{ClientAnswer, Done},
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
                if let Some(late) = now.after(self.settings.app_deadline) {
                    self.schedule(late, Due::Question(ticket));
                }
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
        let (seat, life) = match &waiting {
            Waiting::Admission { asker, .. }
            | Waiting::Authorization { asker, .. }
            | Waiting::Permission { asker, .. }
            | Waiting::Answer(asker) => (Some(asker.seat), Some(asker.life)),
            Waiting::Refresh { seat, .. } | Waiting::SubscriptionRefresh { seat, .. } => {
                (Some(*seat), None)
            }
            _ => (None, None),
        };
        if let Some(seat) = seat {
            let Some(session) = self.sessions.get_mut(seat) else { return };
            session.asked = session.asked.saturating_sub(1);
            // What a conversation asked for that has left the session is for nobody.
            if session.leaving || life.is_some_and(|it| it != session.life) {
                return;
            }
        }
        if let (Some(seat), Ok(Answer::Disconnect(why))) = (seat, &answer) {
            return self.send_away(seat, why.clone(), now, out);
        }
        match waiting {
            Waiting::Admission { asker, link, connect } => {
                self.admitted(asker, link, *connect, answer, now, out);
            }
            Waiting::Refresh { seat, link, asker } => {
                self.refreshed((seat, link), asker, answer, now, out);
            }
            Waiting::Authorization { asker, link, subscribe } => {
                let then = Then::Reply(asker);
                match answer {
                    Ok(Answer::Authorization(it)) => {
                        self.begin(asker.seat, link, subscribe, *it, then, now, out);
                    }
                    other => {
                        self.not_begun(then, other.err().unwrap_or_else(nonsense), now, out);
                    }
                }
            }
            Waiting::SubscriptionRefresh { seat, link, channel, asker } => {
                self.subscription_refreshed((seat, link), &channel, asker, answer, now, out);
            }
            Waiting::Permission { asker, link } => {
                let handed = match answer {
                    Ok(Answer::Publish(publish)) => self.hand_over(asker, link, *publish, out),
                    other => Err(other.err().unwrap_or_else(nonsense)),
                };
                if let Err(refusal) = handed {
                    self.counters.refused_publications += 1;
                    self.reply(asker, Err(refusal), out);
                }
            }
            Waiting::Answer(asker) => match answer {
                Ok(Answer::Payload(it)) => self.reply(asker, Ok(Reply::Answer(it)), out),
                other => self.reply(asker, Err(other.err().unwrap_or_else(nonsense)), out),
            },
            _ => {}
        }
    }

    pub(super) fn call(
        &mut self,
        asker: Asker,
        link: Link,
        method: Arc<str>,
        payload: Payload,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let who = self.admitted_client(asker.seat, link)?;
        self.fits(&payload)?;
        if method.len() > self.settings.limits.name_bytes_max {
            return Err(Refusal::new(RefusalKind::Limit, "the method's name is too long"));
        }
        self.rule_of_calls(&self.settings.call, who.user.is_some())?;
        let question = Question::Call { who, method, payload };
        self.question(Some(asker.seat), Waiting::Answer(asker), question, now, out)?;
        Ok(None)
    }

    pub(super) fn tell(
        &mut self,
        seat: Seat,
        link: Link,
        payload: Payload,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
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
    pub(super) fn call_client(
        &mut self,
        (seat, link): (Seat, Option<Link>),
        answer_to: AnswerTo,
        calling: Calling,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let calls_max = self.settings.limits.calls_max;
        let gone = || Refusal::new(RefusalKind::NotFound, "there is no such session");
        let session = self.sessions.get_mut(seat).filter(|it| !it.leaving).ok_or_else(gone)?;
        if session.is_away() {
            return Err(Refusal::new(RefusalKind::Unavailable, "the client is away"));
        }
        let Some(link) = link else {
            return Err(Refusal::new(RefusalKind::NotFound, "the session has no such link"));
        };
        if session.rare().calls.len() >= calls_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many calls to this client at once"));
        }
        self.calls += 1;
        let id = CallId(self.calls);
        session.rare().calls.push(Call { id, link, answer_to });
        self.counters.calls += 1;
        if let Some(late) = now.after(calling.deadline) {
            self.schedule(late, Due::Call(seat, id));
        }
        out.event(seat, Event::Call(id, link, calling.method, calling.args));
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
        let who = session.id();
        let Some(calls) = session.rare.as_mut().map(|it| &mut it.calls) else { return };
        let Some(at) = calls.iter().position(|it| it.id == id) else { return };
        let call = calls.swap_remove(at);
        self.give_answer(who, call, answer, out);
    }

    pub(super) fn give_answer(
        &mut self,
        session: SessionId,
        call: Call,
        answer: Result<Payload, Refusal>,
        out: &mut dyn Outlet,
    ) {
        match call.answer_to {
            AnswerTo::Order(shard, ticket) => {
                self.answer_order((shard, ticket), answer.map(Done::Answer), out);
            }
            AnswerTo::Deed(ticket) => {
                let answer = ClientAnswer { session, link: call.link, answer };
                self.one_answered(ticket, answer, out);
            }
        }
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
