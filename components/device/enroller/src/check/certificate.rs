//! The certificate is there, is in time, and its renewal is not overdue.

use super::{Context, Finding, Outcome};
use crate::clock::rfc3339;

pub(super) fn run(context: &Context<'_>) -> Finding {
    let status = context.status;
    let expires = status.certificate_expires;
    if expires == 0 {
        return Finding::with(Outcome::Failed, "there is no certificate", "See identity-state.");
    }
    let text = format!("the certificate expires {}", rfc3339(expires));
    let now = context.clock.now();
    if now > expires {
        let advice = "Connect the device, so that it enrols anew.";
        return Finding::with(Outcome::Failed, text, advice);
    }
    if status.next_renewal != 0 && now > status.next_renewal {
        let advice = "Connect the device, its renewal is due.";
        return Finding::with(Outcome::Warning, text, advice);
    }
    Finding::ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, NOW};
    use super::*;

    #[test]
    fn table() {
        let table = [
            (NOW + 1000, NOW + 500, Outcome::Ok, "expires 2096"),
            (NOW + 1000, 0, Outcome::Ok, "expires 2096"),
            (NOW + 1000, NOW - 1, Outcome::Warning, "renewal is due"),
            (NOW - 1, NOW - 500, Outcome::Failed, "enrols anew"),
            (0, 0, Outcome::Failed, "no certificate"),
        ];
        for (certificate_expires, next_renewal, outcome, part) in table {
            let mut fixture = Fixture::active();
            fixture.status.certificate_expires = certificate_expires;
            fixture.status.next_renewal = next_renewal;
            fixture.expect(run, outcome, part);
        }
    }
}
