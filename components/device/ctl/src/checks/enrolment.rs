//! The device has its identity.

use holdfast_ipc::identity::State;

use super::{Context, Finding};

pub(super) fn run(context: &Context) -> Finding {
    let identity = match &context.identity {
        Ok(identity) => identity,
        Err(error) => {
            return Finding::failed(
                format!("the identity service says nothing: {error}"),
                "See systemctl status holdfast-enroll.",
            );
        }
    };
    let state = &identity.state;
    let why = if identity.last_error.is_empty() {
        String::new()
    } else {
        format!(": {}", identity.last_error)
    };
    match State::parse(state) {
        Some(State::Active) => Finding::ok("The device is enrolled and active."),
        Some(State::Refused) => Finding::failed(
            format!("the cloud does not accept this device{why}"),
            "Compare `holdfast identity` with the registration in the cloud.",
        ),
        Some(State::Faulted) => Finding::failed(
            format!("enrolment cannot go on{why}"),
            "Mend what the error names; see journalctl -u holdfast-enroll.",
        ),
        Some(_) => Finding::warning(
            format!("enrolment is under way: {state}{why}"),
            "`holdfast status` says what it waits for.",
        ),
        None => Finding::warning(
            format!("the state {state:?} is not known to this program{why}"),
            "Use the holdfast program of the same release as the service.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;
    use crate::Snapshot;

    #[test]
    fn table() {
        let table = [
            ("active", "", Ok, "active"),
            ("active", "a time server was away", Ok, "active"),
            ("refused", "not registered", Failed, "accept this device: not registered"),
            ("faulted", "no TPM", Failed, "go on: no TPM"),
            ("waiting_for_network", "", Warning, "under way: waiting_for_network"),
            ("dreaming", "", Warning, "not known"),
        ];
        for (state, error, outcome, part) in table {
            Fixture::new()
                .identity(Snapshot {
                    state: state.into(),
                    last_error: error.into(),
                    ..Snapshot::default()
                })
                .expect(run, outcome, part);
        }
        Fixture::new().expect(run, Failed, "no service");
    }
}
