//! What the service manager is told (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The daemon ends.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// How often the manager wants to hear that the daemon is alive, where it wants to: three times in
/// the unit's `WatchdogSec=`.
pub fn heartbeat() -> Option<Duration> {
    let mut limit = 0;
    sd_notify::watchdog_enabled(false, &mut limit).then(|| Duration::from_micros(limit) / 3)
}

/// The daemon is alive.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Tells the manager that the daemon is alive, as often as it wants to hear that. Never returns.
pub async fn keep_alive() {
    let Some(heartbeat) = heartbeat() else { return std::future::pending().await };
    let mut interval = tokio::time::interval(heartbeat);
    loop {
        interval.tick().await;
        alive();
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
