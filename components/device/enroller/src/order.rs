//! What operators ask of the agent, and what comes of it.

use holdfast_ipc::{CallError, ErrorKind};
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for their turn; each takes a while and is given by hand.
const QUEUE: usize = 4;

/// What the agent is to do now rather than when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Fetch a successor of the certificate in use.
    Renew,
    /// Enrol by endorsement key and quote, whatever certificate there is.
    ReEnroll,
}

/// The serial number of the certificate that came of an order, or why none did.
pub type Outcome = Result<String, CallError>;

/// An order on its way to the agent.
#[derive(Debug)]
pub struct Given {
    /// What is to be done.
    pub order: Order,
    /// Who waits for it; he may have given up.
    pub answer: oneshot::Sender<Outcome>,
}

/// Where orders are given.
#[derive(Debug, Clone)]
pub struct Orders(mpsc::Sender<Given>);

impl Orders {
    /// The sender, and the receiver for the agent.
    pub fn new() -> (Self, mpsc::Receiver<Given>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Gives an order and waits for its outcome.
    pub async fn give(&self, order: Order) -> Outcome {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Given { order, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::new(
                ErrorKind::NotReady,
                "the device is busy with earlier orders; wait for them and ask again",
            ),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answered.await.map_err(|_| stopping())?
    }
}

fn stopping() -> CallError {
    CallError::new(ErrorKind::NotReady, "the identity service is stopping; ask again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_are_answered_and_too_many_are_refused() {
        let (orders, mut given) = Orders::new();
        let worker = tokio::spawn(async move {
            let Given { order, answer } = given.recv().await.unwrap();
            assert_eq!(order, Order::Renew);
            answer.send(Ok("0a".to_owned())).unwrap();
            given
        });
        assert_eq!(orders.give(Order::Renew).await, Ok("0a".to_owned()));

        let given = worker.await.unwrap();
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let orders = orders.clone();
                tokio::spawn(async move { orders.give(Order::ReEnroll).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let error = orders.give(Order::Renew).await.unwrap_err();
        assert!(error.message.contains("earlier orders"), "{error}");
        drop(given);
        for order in waiting {
            let error = order.await.unwrap().unwrap_err();
            assert!(error.message.contains("stopping"), "{error}");
        }
        assert!(orders.give(Order::Renew).await.unwrap_err().message.contains("stopping"));
    }
}
