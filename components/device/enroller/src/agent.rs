//! Performs the state machine's actions and shows what comes of them.

mod confirm;
mod enrol;
mod prepare;
mod problems;
mod roots;
mod site;

use std::sync::Arc;
use std::time::Duration;

use holdfast_attestation::edge_id::EdgeId;
use holdfast_ipc::identity::{SignatureMode as ShownMode, State, StatusPublisher};
use holdfast_ipc::{CallError, ErrorKind};
use holdfast_tpm::{EkInfo, KeyBlob, SignatureMode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::certificate::Chain;
use crate::clock::Clock;
use crate::edge_id::Places;
use crate::est::Route;
use crate::keyring::Keyring;
use crate::milestone::{self, Milestone};
use crate::options::Options;
use crate::order::{Given, Outcome};
use crate::recorder::Recorder;
use crate::retry::Jitter;
use crate::state::{Action, Event, Holding, Machine};
use crate::store::{Held, Store};
use crate::tpm_owner::TpmOwner;

use confirm::Session;
use site::SiteContext;

/// Where the agent finds the store's files; replaced by tests that cut the power.
pub type OpenStore = Box<dyn FnMut() -> std::io::Result<Store> + Send>;

/// The device's identity in the making.
pub struct Agent {
    options: Options,
    tpm: TpmOwner,
    clock: Arc<Clock>,
    status: StatusPublisher,
    keyring: Keyring,
    recorder: Recorder,
    open_store: OpenStore,
    machine: Machine,
    store: Option<Store>,
    site: Option<SiteContext>,
    device: Option<DeviceContext>,
    held: Held,
    session: Option<Session>,
    roots_asked: Option<u64>,
    last_request_id: String,
    /// The last attempt to enrol had the pairing code and was refused.
    code_refused: bool,
    /// A certificate was issued since the start.
    has_issued: bool,
    shown: Shown,
    settled: Option<oneshot::Sender<()>>,
    orders: mpsc::Receiver<Given>,
    obeying: Option<Obeying>,
}

/// An order that is being carried out: until the machine waits again.
struct Obeying {
    answer: oneshot::Sender<Outcome>,
    promoted: bool,
}

/// What the agent shares with the rest of the daemon.
pub struct Parts {
    /// The TPM.
    pub tpm: TpmOwner,
    /// The time.
    pub clock: Arc<Clock>,
    /// Where the state is shown.
    pub status: StatusPublisher,
    /// Where keys are handed out.
    pub keyring: Keyring,
    /// Where the agent's acts are recorded.
    pub recorder: Recorder,
    /// What operators ask for.
    pub orders: mpsc::Receiver<Given>,
}

/// What does not change while the daemon runs.
#[derive(Debug, Clone)]
struct DeviceContext {
    edge_id: EdgeId,
    ek: Arc<EkInfo>,
    ek_sha256: String,
    ak: Arc<KeyBlob>,
}

/// Which milestones were printed.
#[derive(Debug, Default)]
struct Shown {
    started: bool,
    active: Option<(String, bool)>,
    trouble: Option<(State, String)>,
}

impl Agent {
    /// An agent. `settled` is told when the state is known for the first time.
    pub fn new(
        options: Options,
        parts: Parts,
        open_store: OpenStore,
        settled: oneshot::Sender<()>,
    ) -> Self {
        let Parts { tpm, clock, status, keyring, recorder, orders } = parts;
        Self {
            options,
            tpm,
            clock,
            status,
            keyring,
            recorder,
            open_store,
            machine: Machine::new(),
            store: None,
            site: None,
            device: None,
            held: Held::default(),
            session: None,
            roots_asked: None,
            last_request_id: String::new(),
            code_refused: false,
            has_issued: false,
            shown: Shown::default(),
            settled: Some(settled),
            orders,
            obeying: None,
        }
    }

    /// Works for as long as the daemon lives.
    pub async fn run(mut self, jitter: &mut dyn Jitter) {
        let mut event = Event::Started;
        loop {
            tracing::debug!(?event, "outcome");
            if event == Event::Promoted
                && let Some(obeying) = &mut self.obeying
            {
                obeying.promoted = true;
            }
            let action = self.machine.step(event, jitter);
            tracing::debug!(?action, state = %self.machine.state(), "next");
            self.show(action);
            if matches!(action, Action::Wait(_) | Action::Rest) {
                self.report_order();
            }
            event = self.perform(action).await;
        }
    }

    async fn perform(&mut self, action: Action) -> Event {
        match action {
            Action::LoadSite => self.load_site(),
            Action::Prepare => self.prepare().await,
            Action::Enrol => self.enrol(Route::Enrol).await,
            Action::Renew => self.enrol(Route::Renew).await,
            Action::Confirm => self.confirm().await,
            Action::Promote => self.promote().await,
            Action::Wait(wait) => {
                let end = Instant::now() + wait;
                self.refresh_roots().await;
                self.wait(end).await
            }
            Action::Rest => loop {
                self.next_order().await;
            },
        }
    }

    async fn wait(&mut self, end: Instant) -> Event {
        tokio::select! {
            () = sleep_until(end) => Event::WaitOver,
            event = self.next_order() => event,
        }
    }

    /// Waits for an order that can be obeyed; the others are answered.
    async fn next_order(&mut self) -> Event {
        while let Some(Given { order, answer }) = self.orders.recv().await {
            match self.machine.may_obey(order) {
                Ok(()) => {
                    self.obeying = Some(Obeying { answer, promoted: false });
                    return Event::Ordered(order);
                }
                Err(obstacle) => {
                    let _ = answer.send(Err(self.cannot(obstacle)));
                }
            }
        }
        // The service is gone, so nobody can order any more.
        std::future::pending().await
    }

    /// Says what came of the order that was carried out, if one was.
    fn report_order(&mut self) {
        let Some(Obeying { answer, promoted }) = self.obeying.take() else {
            return;
        };
        let outcome = match (promoted, self.chain()) {
            (true, Some(chain)) => Ok(chain.serial()),
            _ => Err(self.cannot("no new certificate is in use")),
        };
        let _ = answer.send(outcome);
    }

    fn cannot(&self, obstacle: &str) -> CallError {
        match self.machine.problem() {
            Some(problem) => CallError::new(ErrorKind::Failed, problem.message.clone()),
            None => CallError::new(ErrorKind::NotReady, obstacle),
        }
    }

    /// The certificate that the machine works with.
    fn chain(&self) -> Option<&Chain> {
        match self.machine.holding() {
            Holding::Nothing => None,
            Holding::Pending => self.held.pending.as_ref()?.chain.as_ref(),
            Holding::Active | Holding::Renewing => {
                self.held.active.as_ref().map(|identity| &identity.chain)
            }
        }
    }

    fn show(&mut self, action: Action) {
        self.publish(action);
        self.print();
        let known = !matches!(self.machine.state(), State::Uninitialised | State::Preparing);
        if known && let Some(settled) = self.settled.take() {
            // Whoever waited may have gone, since the daemon stops.
            let _ = settled.send(());
        }
    }

    fn publish(&self, action: Action) {
        let chain = self.chain();
        let next_attempt = match action {
            Action::Wait(wait) => self.clock.now().saturating_add(rounded_up(wait)),
            _ => 0,
        };
        let mode = self.device_key().and_then(|key| key.signature_mode().ok().flatten());
        let problem = self.machine.problem();
        self.status.update(|status| {
            status.state = self.machine.state();
            status.next_attempt = next_attempt;
            status.last_error = problem.map(|p| p.message.clone()).unwrap_or_default();
            status.last_error_code = problem.map(|p| p.code.clone()).unwrap_or_default();
            if let Some(site) = &self.site {
                site.site.tenant.as_str().clone_into(&mut status.tenant);
            }
            if let Some(device) = &self.device {
                device.edge_id.as_str().clone_into(&mut status.edge_id);
                status.ek_sha256.clone_from(&device.ek_sha256);
            }
            status.signature_mode = match mode {
                Some(SignatureMode::TpmPss) => ShownMode::TpmPss,
                Some(SignatureMode::SoftwarePss) => ShownMode::SoftwarePss,
                None => ShownMode::Unknown,
            };
            status.device_id = chain.map(|c| c.device_id().to_owned()).unwrap_or_default();
            status.certificate_expires = chain.map_or(0, Chain::not_after);
            status.next_renewal = chain.and_then(|c| c.renewal().ok()).unwrap_or(0);
            status.certificate_serial = chain.map(Chain::serial).unwrap_or_default();
            status.certificate_is_issued = self.has_issued;
        });
    }

    fn device_key(&self) -> Option<KeyBlob> {
        let pem = match self.machine.holding() {
            Holding::Active | Holding::Renewing => &self.held.active.as_ref()?.key,
            Holding::Nothing | Holding::Pending => &self.held.pending.as_ref()?.key,
        };
        KeyBlob::from_pem(pem).ok()
    }

    /// Prints what changed since the last line.
    fn print(&mut self) {
        if let Some(device) = &self.device
            && !self.shown.started
        {
            self.shown.started = true;
            milestone::print(Milestone::Started {
                edge_id: device.edge_id.as_str(),
                ek_sha256: &device.ek_sha256,
            });
        }
        let state = self.machine.state();
        if state == State::Active {
            self.shown.trouble = None;
            let Some(device_id) = self.chain().map(|chain| chain.device_id().to_owned()) else {
                return;
            };
            // Once confirmed, a network that goes away again is no news.
            let confirmed = matches!(&self.shown.active, Some((id, false)) if *id == device_id);
            let now = (device_id, !(self.machine.online() || confirmed));
            if self.shown.active.as_ref() != Some(&now) {
                milestone::print(Milestone::Active { device_id: &now.0, offline: now.1 });
                self.shown.active = Some(now);
            }
            return;
        }
        let Some(problem) = self.machine.problem() else {
            return;
        };
        let code = problem.code.as_str();
        match state {
            // Each refusal has a request id of its own.
            State::Refused | State::WaitingForApproval
                if !self.last_request_id.is_empty() || self.news(state) =>
            {
                let request_id = &self.last_request_id;
                milestone::print(Milestone::Refused { code, request_id });
            }
            State::WaitingForNetwork | State::WaitingForSite if self.news(state) => {
                milestone::print(Milestone::Waiting { code });
            }
            State::Faulted if self.news(state) => milestone::print(Milestone::Faulted { code }),
            State::Refused
            | State::WaitingForApproval
            | State::WaitingForNetwork
            | State::WaitingForSite
            | State::Faulted => {}
            // A new attempt is under way; the reason of the last failure stands until it ends.
            _ => return,
        }
        let code = code.to_owned();
        tracing::warn!(%state, code, "{}", problem.message);
        self.last_request_id.clear();
        self.shown.active = None;
        self.shown.trouble = Some((state, code));
    }

    fn news(&self, state: State) -> bool {
        let code = self.machine.problem().map(|problem| problem.code.as_str());
        let now = code.map(|code| (state, code));
        self.shown.trouble.as_ref().map(|(state, code)| (*state, code.as_str())) != now
    }

    fn places(&self) -> Places {
        Places { credentials: self.options.credentials.clone(), sysfs: self.options.sysfs.clone() }
    }
}

fn rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
