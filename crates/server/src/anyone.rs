//! [`Anyone`]: the app of a server that asks nobody who he is.

use taiwa_core::{Answer, App, Asked, Question, Refusal, RefusalKind};

/// Lets everyone in without a name, and everyone do what the namespaces allow. There is nothing to call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anyone;

impl App for Anyone {
    fn ask(&self, question: Question) -> Asked {
        Asked::Now(match question {
            // A token of which nobody can tell whether it is good is not taken for one.
            Question::Connect { connect, .. } if connect.token.is_some() => {
                Err(Refusal::new(RefusalKind::Unauthorized, "there are no tokens here"))
            }
            Question::Connect { .. } | Question::Refresh { .. } => {
                Ok(Answer::Admission(Box::default()))
            }
            Question::Subscribe { .. } => Ok(Answer::Authorization(Box::default())),
            Question::Publish { publish, .. } => Ok(Answer::Publish(publish)),
            Question::Call { .. } => {
                Err(Refusal::new(RefusalKind::NotFound, "there is nothing to call here"))
            }
            _ => Ok(Answer::Noted),
        })
    }
}
