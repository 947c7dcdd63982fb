//! The life of the device's identity as an explicit state machine.
//!
//! Pure: an event goes in, the one action to do next comes out. Whoever drives it performs the
//! action and feeds its outcome back as the next event. Time and chance are injected.

use std::time::Duration;

pub use holdfast_ipc::identity::State;

use crate::order::Order;
use crate::retry::{Curve, Jitter};

/// How often an active device asks the server whether it is still welcome.
const RECHECK: Duration = Duration::from_secs(15 * 60);

/// Which certificate the device holds, as far as it is worth trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// None, or one that is expired or no longer accepted.
    Nothing,
    /// One that was issued and has not been tried yet.
    Pending,
    /// One that the server has accepted.
    Active,
    /// One that the server has accepted, and its successor, which has not been tried yet.
    Renewing,
}

/// Why the device is not where it should be, and what the operator should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code in kebab case.
    pub code: String,
    /// For people: what happened, where, and what to do next.
    pub message: String,
}

impl Problem {
    /// A problem with its stable code and its explanation.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// The outcome of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The daemon starts.
    Started,
    /// The site configuration was read.
    SiteLoaded,
    /// The site configuration is missing or not valid.
    SiteUnusable(Problem),
    /// TPM and store were read; this is what they hold.
    Prepared(Holding),
    /// Something on the device failed that may pass.
    Failed(Problem),
    /// Something on the device is wrong and stays wrong until someone repairs it.
    Broken(Problem),
    /// A certificate was issued and stored as pending.
    Issued,
    /// The server waits for an operator's approval.
    ApprovalPending {
        /// What the operator should do.
        problem: Problem,
        /// The server's wish for the next attempt.
        retry_after: Option<Duration>,
    },
    /// The server refused.
    Refused {
        /// The server's reason.
        problem: Problem,
        /// The server's wish for the next attempt.
        retry_after: Option<Duration>,
    },
    /// The server does not accept the certificate in use; another one may be had.
    CertificateRejected(Problem),
    /// The server could not be reached, or was not the right one.
    Unreachable {
        /// What failed.
        problem: Problem,
        /// The server's wish, if one that is overloaded could still say it.
        retry_after: Option<Duration>,
    },
    /// The server accepted the certificate in use.
    Confirmed,
    /// The server accepted the certificate in use, which is old enough for a successor.
    RenewalDue,
    /// The pending identity was put in place.
    Promoted,
    /// The wait is over.
    WaitOver,
    /// An operator cuts the wait short; [`Machine::may_obey`] has said yes.
    Ordered(Order),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read the site configuration.
    LoadSite,
    /// Open the TPM and the store; make the keys that are missing.
    Prepare,
    /// Run the attested enrolment and store the certificate as pending.
    Enrol,
    /// The same, with the certificate in use as proof of who asks.
    Renew,
    /// Ask `self` with the certificate held.
    Confirm,
    /// Put the pending identity in place.
    Promote,
    /// Do nothing for this long.
    Wait(Duration),
    /// Do nothing until the daemon is started again.
    Rest,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct Machine {
    state: State,
    holding: Holding,
    failures: Failures,
    problem: Option<Problem>,
    online: bool,
    renewing: Renewing,
}

/// Whether a successor is asked for while an accepted certificate is in use, and by which proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewing {
    No,
    ByCertificate,
    /// Also when the certificate was not taken: the TPM is known as well as it was on the first
    /// boot.
    ByEndorsementKey,
}

/// Failures in a row, counted per kind, since each kind has its own curve.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    local: u32,
    network: u32,
    refusal: u32,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine that waits for [`Event::Started`].
    pub const fn new() -> Self {
        Self {
            state: State::Uninitialised,
            holding: Holding::Nothing,
            failures: Failures { local: 0, network: 0, refusal: 0 },
            problem: None,
            online: false,
            renewing: Renewing::No,
        }
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The certificate that the machine works with.
    pub const fn holding(&self) -> Holding {
        self.holding
    }

    /// What keeps the device from its goal, if anything does.
    pub const fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// Whether the server accepted the certificate at the last attempt.
    pub const fn online(&self) -> bool {
        self.online
    }

    /// Takes the outcome of the last action and says what to do next.
    pub fn step(&mut self, event: Event, jitter: &mut dyn Jitter) -> Action {
        match event {
            Event::Started => Action::LoadSite,
            Event::SiteLoaded => {
                self.recovered(State::Preparing);
                Action::Prepare
            }
            Event::SiteUnusable(problem) => {
                self.local_failure(State::WaitingForSite, problem, jitter)
            }
            Event::Prepared(holding) => self.prepared(holding),
            Event::Failed(problem) => self.local_failure(State::Faulted, problem, jitter),
            Event::Broken(problem) => {
                self.enter(State::Faulted, Some(problem));
                self.online = false;
                Action::Rest
            }
            Event::Issued => self.issued(),
            Event::RenewalDue => self.renewal_due(jitter),
            Event::ApprovalPending { problem, retry_after }
            | Event::Refused { problem, retry_after }
            | Event::Unreachable { problem, retry_after }
                if self.renewing != Renewing::No =>
            {
                self.renewal_failed(problem, retry_after, jitter)
            }
            Event::ApprovalPending { problem, retry_after } => {
                self.refusal(State::WaitingForApproval, problem, retry_after, jitter)
            }
            Event::Refused { problem, retry_after } => {
                self.refusal(State::Refused, problem, retry_after, jitter)
            }
            Event::CertificateRejected(_) if self.renewing == Renewing::ByCertificate => {
                self.renewing = Renewing::ByEndorsementKey;
                Action::Enrol
            }
            Event::CertificateRejected(problem)
                if self.holding == Holding::Renewing
                    || self.renewing == Renewing::ByEndorsementKey =>
            {
                self.renewal_failed(problem, None, jitter)
            }
            Event::CertificateRejected(problem) => {
                self.holding = Holding::Nothing;
                self.refusal(State::Refused, problem, None, jitter)
            }
            Event::Unreachable { problem, retry_after } => {
                self.unreachable(problem, retry_after, jitter)
            }
            Event::Confirmed => self.confirmed(jitter),
            Event::Promoted => {
                self.holding = Holding::Active;
                self.confirmed(jitter)
            }
            Event::WaitOver => self.resume(),
            Event::Ordered(order) => self.ordered(order),
        }
    }

    /// Whether an order can be carried out from here; otherwise what stands in its way.
    pub fn may_obey(&self, order: Order) -> Result<(), &'static str> {
        match (self.state, order) {
            (
                State::Uninitialised | State::Preparing | State::WaitingForSite | State::Faulted,
                _,
            ) => Err("the device is not ready to enrol"),
            (State::Active, Order::Renew) | (_, Order::ReEnroll) => Ok(()),
            (_, Order::Renew) => {
                Err("there is no accepted certificate to renew; enrol anew: holdfast re-enroll")
            }
        }
    }

    fn prepared(&mut self, holding: Holding) -> Action {
        self.failures = Failures::default();
        self.renewing = Renewing::No;
        self.holding = holding;
        match holding {
            Holding::Nothing => {
                self.enter(State::Enrolling, None);
                Action::Enrol
            }
            Holding::Pending => {
                self.enter(State::Activating, None);
                Action::Confirm
            }
            Holding::Active | Holding::Renewing => {
                self.enter(State::Active, None);
                Action::Confirm
            }
        }
    }

    fn issued(&mut self) -> Action {
        // Refusals are forgotten only when the certificate has proved itself.
        self.failures = Failures { refusal: self.failures.refusal, ..Failures::default() };
        if self.renewing == Renewing::No {
            self.holding = Holding::Pending;
            self.enter(State::Activating, None);
        } else {
            self.renewing = Renewing::No;
            self.holding = Holding::Renewing;
        }
        Action::Confirm
    }

    fn renewal_due(&mut self, jitter: &mut dyn Jitter) -> Action {
        if self.holding != Holding::Active {
            return self.confirmed(jitter);
        }
        // What kept an earlier attempt from succeeding is shown until one succeeds.
        self.state = State::Active;
        self.online = true;
        self.renewing = Renewing::ByCertificate;
        self.failures = Failures { refusal: self.failures.refusal, ..Failures::default() };
        Action::Renew
    }

    fn ordered(&mut self, order: Order) -> Action {
        if self.may_obey(order).is_err() {
            return self.resume();
        }
        // Whoever orders has looked at what failed before.
        self.failures = Failures::default();
        match (self.holding, order) {
            // The successor is there already and only has to be tried.
            (Holding::Renewing, Order::Renew) => Action::Confirm,
            (Holding::Active, Order::Renew) => {
                self.renewing = Renewing::ByCertificate;
                Action::Renew
            }
            (Holding::Active | Holding::Renewing, Order::ReEnroll) => {
                self.holding = Holding::Active;
                self.renewing = Renewing::ByEndorsementKey;
                Action::Enrol
            }
            (Holding::Nothing | Holding::Pending, _) => {
                self.holding = Holding::Nothing;
                self.state = State::Enrolling;
                Action::Enrol
            }
        }
    }

    /// The certificate in use stays good: the device stays active and tries again later.
    fn renewal_failed(
        &mut self,
        problem: Problem,
        retry_after: Option<Duration>,
        jitter: &mut dyn Jitter,
    ) -> Action {
        self.renewing = Renewing::No;
        self.holding = Holding::Active;
        self.failures.refusal = self.failures.refusal.saturating_add(1);
        self.problem = Some(problem);
        Action::Wait(Curve::REFUSAL.wait(self.failures.refusal, retry_after, jitter))
    }

    fn confirmed(&mut self, jitter: &mut dyn Jitter) -> Action {
        match self.holding {
            Holding::Pending | Holding::Renewing => Action::Promote,
            Holding::Active => {
                self.recovered(State::Active);
                self.online = true;
                Action::Wait(RECHECK.mul_f64(0.9 + jitter.draw().clamp(0.0, 1.0) / 5.0))
            }
            // Nothing was held that could have been confirmed: read again what there is.
            Holding::Nothing => self.again(),
        }
    }

    fn unreachable(
        &mut self,
        problem: Problem,
        retry_after: Option<Duration>,
        jitter: &mut dyn Jitter,
    ) -> Action {
        self.online = false;
        self.failures.network = self.failures.network.saturating_add(1);
        let curve = match (self.holding, self.state) {
            (Holding::Active | Holding::Renewing, State::Active) => {
                self.problem = Some(problem);
                Curve::OFFLINE
            }
            // A refusal stands until the server takes it back, also while it cannot be reached.
            (Holding::Active | Holding::Renewing, State::Refused) => Curve::OFFLINE,
            _ => {
                self.enter(State::WaitingForNetwork, Some(problem));
                Curve::NETWORK
            }
        };
        Action::Wait(curve.wait(self.failures.network, retry_after, jitter))
    }

    fn refusal(
        &mut self,
        state: State,
        problem: Problem,
        retry_after: Option<Duration>,
        jitter: &mut dyn Jitter,
    ) -> Action {
        self.online = false;
        self.failures.network = 0;
        self.failures.refusal = self.failures.refusal.saturating_add(1);
        self.enter(state, Some(problem));
        Action::Wait(Curve::REFUSAL.wait(self.failures.refusal, retry_after, jitter))
    }

    fn local_failure(&mut self, state: State, problem: Problem, jitter: &mut dyn Jitter) -> Action {
        self.online = false;
        self.renewing = Renewing::No;
        self.failures.local = self.failures.local.saturating_add(1);
        self.enter(state, Some(problem));
        Action::Wait(Curve::LOCAL.wait(self.failures.local, None, jitter))
    }

    fn resume(&mut self) -> Action {
        match self.state {
            State::Uninitialised | State::WaitingForSite => Action::LoadSite,
            State::Faulted | State::Preparing => self.again(),
            State::Active => Action::Confirm,
            State::WaitingForNetwork
            | State::Enrolling
            | State::WaitingForApproval
            | State::Refused
            | State::Activating => match self.holding {
                Holding::Nothing => {
                    self.state = State::Enrolling;
                    Action::Enrol
                }
                Holding::Pending => {
                    self.state = State::Activating;
                    Action::Confirm
                }
                Holding::Active | Holding::Renewing => Action::Confirm,
            },
        }
    }

    fn again(&mut self) -> Action {
        self.state = State::Preparing;
        Action::Prepare
    }

    fn recovered(&mut self, state: State) {
        self.failures = Failures::default();
        self.enter(state, None);
    }

    fn enter(&mut self, state: State, problem: Option<Problem>) {
        self.state = state;
        self.problem = problem;
    }
}

#[cfg(test)]
mod tests;
