//! The TPM was usable since the daemon started.

use super::{Context, Finding, Outcome};

pub(super) fn run(context: &Context<'_>) -> Finding {
    // The first thing that the TPM makes.
    if context.keys.audit.is_some() {
        return Finding::ok("The TPM works.");
    }
    Finding::with(
        Outcome::Failed,
        "the TPM was not usable since the start",
        "Enable the TPM in the firmware; see journalctl -u holdfast-enroll.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn without_its_first_key_the_tpm_does_not_work() {
        Fixture::active().expect(run, Outcome::Failed, "not usable");
    }
}
