//! One question for each of many partitions, a message to each reactor that hosts some of them, the answers in the
//! order of the questions.

use std::rc::Rc;

use super::broker::Broker;
use super::message::{Answer, Ask};
use crate::model::error_code::ClientError;
use crate::model::ids::ReactorId;

/// Questions `Q` by reactor, and the partitions that were refused before anything was asked.
pub struct Scatter<Q> {
    refused: Vec<Option<ClientError>>,
    groups: Vec<Group<Q>>,
}

struct Group<Q> {
    reactor: ReactorId,
    places: Vec<usize>,
    questions: Vec<Q>,
}

impl<Q> Default for Scatter<Q> {
    fn default() -> Self {
        Scatter { refused: Vec::new(), groups: Vec::new() }
    }
}

impl<Q> Scatter<Q> {
    /// Adds the next partition: a question and who answers it, or why there is none.
    pub fn push(&mut self, routed: Result<(ReactorId, Q), ClientError>) {
        let place = self.refused.len();
        match routed {
            Err(error) => self.refused.push(Some(error)),
            Ok((reactor, question)) => {
                self.refused.push(None);
                let at = self.groups.iter().position(|group| group.reactor == reactor).unwrap_or_else(|| {
                    self.groups.push(Group { reactor, places: Vec::new(), questions: Vec::new() });
                    self.groups.len() - 1
                });
                self.groups[at].places.push(place);
                self.groups[at].questions.push(question);
            }
        }
    }

    /// Asks, and puts the answers in the order of the questions.
    pub async fn gather<A>(
        self,
        broker: &Rc<Broker>,
        ask: impl Fn(Vec<Q>) -> Ask,
        unwrap: impl Fn(Answer) -> Vec<Result<A, ClientError>>,
        here: impl AsyncFn(&Broker, Vec<Q>) -> Vec<Result<A, ClientError>>,
    ) -> Vec<Result<A, ClientError>> {
        let mut answers: Vec<Option<Result<A, ClientError>>> =
            self.refused.into_iter().map(|refused| refused.map(Err)).collect();
        let (local, remote): (Vec<_>, Vec<_>) =
            self.groups.into_iter().partition(|group| group.reactor == broker.io.reactor_id());
        // Other reactors work while this one does.
        let calls: Vec<_> =
            remote.into_iter().map(|group| (group.places, broker.ask(group.reactor, ask(group.questions)))).collect();
        let mut put = |places: Vec<usize>, results: Vec<Result<A, ClientError>>| {
            assert_eq!(places.len(), results.len(), "one answer a question");
            for (place, result) in places.into_iter().zip(results) {
                answers[place] = Some(result);
            }
        };
        for group in local {
            put(group.places, here(broker, group.questions).await);
        }
        for (places, call) in calls {
            put(places, unwrap(call.await));
        }
        answers.into_iter().map(|answer| answer.expect("each place was refused or asked about")).collect()
    }
}
