//! The certificate leads to the roots that the device trusts.

use super::{Context, Finding, Outcome};

pub(super) fn run(context: &Context<'_>) -> Finding {
    match &context.chain_verifies {
        Some(Ok(())) => Finding::ok("The certificate chains to the site's roots."),
        Some(Err(why)) => Finding::with(
            Outcome::Failed,
            why.clone(),
            "Ask for a new certificate: holdfast re-enroll.",
        ),
        None => Finding::with(Outcome::Failed, "there is no certificate", "See identity-state."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn table() {
        let table = [
            (Some(Ok(())), Outcome::Ok, "chains to"),
            (Some(Err("UnknownIssuer".to_owned())), Outcome::Failed, "UnknownIssuer"),
            (None, Outcome::Failed, "no certificate"),
        ];
        for (chain_verifies, outcome, part) in table {
            let mut fixture = Fixture::active();
            fixture.chain_verifies = chain_verifies;
            fixture.expect(run, outcome, part);
        }
    }
}
