//! The connector can be reached, and is the one that the site trusts.

use super::{Context, Finding, Outcome};

/// What the last error is called when something else answers at the connector's address.
const NOT_TRUSTED: &str = "server-not-trusted";

pub(super) fn run(context: &Context<'_>) -> Finding {
    let status = context.status;
    let because = |text: &str| {
        if status.last_error.is_empty() {
            text.to_owned()
        } else {
            format!("{text}: {}", status.last_error)
        }
    };
    if status.last_error_code == NOT_TRUSTED {
        return Finding::with(
            Outcome::Failed,
            because("what answers at the connector's address is not the site's connector"),
            "Look for a proxy that ends TLS, or for another connector at this address.",
        );
    }
    if context.clock.is_synchronised() {
        return Finding::ok("The connector was reached since the start, and is the site's.");
    }
    Finding::with(
        Outcome::Warning,
        because("the connector was not reached since the start"),
        "Check the network and the connector's address.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn table() {
        Fixture::active().expect(run, Outcome::Ok, "reached since the start");
        let mut offline = Fixture::offline();
        offline.expect(run, Outcome::Warning, "Check the network");
        offline.status.last_error = "no route to host".into();
        offline.expect(run, Outcome::Warning, "no route to host");
        let mut impostor = Fixture::active();
        impostor.status.last_error_code = NOT_TRUSTED.into();
        impostor.status.last_error = "unknown issuer".into();
        impostor.expect(run, Outcome::Failed, "unknown issuer");
    }
}
