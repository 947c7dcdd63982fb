//! The device has its identity.

use holdfast_ipc::identity::State;

use super::{Context, Finding, Outcome};

pub(super) fn run(context: &Context<'_>) -> Finding {
    let status = context.status;
    let text = if status.last_error.is_empty() {
        format!("the identity is {}", status.state)
    } else {
        format!("the identity is {}: {}", status.state, status.last_error)
    };
    match status.state {
        State::Active => Finding::ok(text),
        State::Refused | State::Faulted | State::WaitingForSite => {
            let advice = "Do what the text says; the device then goes on by itself.";
            Finding::with(Outcome::Failed, text, advice)
        }
        _ => Finding::with(Outcome::Warning, text, "Wait, or see to what the text names."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn table() {
        let table = [
            (State::Active, Outcome::Ok),
            (State::Refused, Outcome::Failed),
            (State::Faulted, Outcome::Failed),
            (State::WaitingForSite, Outcome::Failed),
            (State::Enrolling, Outcome::Warning),
            (State::WaitingForNetwork, Outcome::Warning),
        ];
        for (state, outcome) in table {
            let mut fixture = Fixture::active();
            fixture.status.state = state;
            fixture.status.last_error = "some reason".into();
            fixture.expect(run, outcome, "some reason");
        }
    }
}
