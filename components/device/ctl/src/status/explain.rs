//! What each state means and what a person does about it.

use holdfast_ipc::identity::State;

pub(super) struct Explanation {
    pub(super) meaning: &'static str,
    /// `None` if nothing is to be done.
    pub(super) next: Option<&'static str>,
}

/// Explains a state by its name on the bus.
pub(super) fn of(state: &str) -> Explanation {
    let Some(state) = State::parse(state) else {
        return Explanation {
            meaning: "a state that this program does not know",
            next: Some("Use the holdfast program of the same release as the service."),
        };
    };
    let (meaning, next) = match state {
        State::Uninitialised => ("the identity service has just started", None),
        State::WaitingForSite => (
            "the device does not know where it belongs",
            Some(
                "Give it a signed site configuration (site.toml and site.toml.sig, made by \
                 `holdfast-cloud site new`) and restart it. `holdfast check site` says what was \
                 found.",
            ),
        ),
        State::Preparing => ("the TPM makes the device's keys", None),
        State::WaitingForNetwork => (
            "the cloud cannot be reached",
            Some("Check the cable, the address and the time; the device tries again by itself."),
        ),
        State::Enrolling => ("the device proves to the cloud which TPM it is", None),
        State::WaitingForApproval => (
            "an operator has to approve this device",
            Some(
                "Approve it in the cloud by the Edge ID and the EK above; the device asks again \
                 by itself.",
            ),
        ),
        State::Refused => (
            "the cloud does not accept this device",
            Some(
                "Compare Edge ID and EK above with the registration in the cloud \
                 (`holdfast-cloud device show`), and look there for the reason of the refusal.",
            ),
        ),
        State::Activating => ("the new certificate is tried out", None),
        State::Active => ("the device has its identity", None),
        State::Faulted => (
            "something on this device is broken",
            Some("Run `holdfast check`; it names what failed and what to do."),
        ),
    };
    Explanation { meaning, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_a_newer_service_is_named_as_such() {
        assert!(of("dreaming").meaning.contains("does not know"));
        assert!(of("active").next.is_none());
        assert!(of("refused").next.is_some());
    }
}
