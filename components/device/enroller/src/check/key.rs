//! The TPM loads the device key from its file.

use super::{Context, Finding, Outcome};

pub(super) fn run(context: &Context<'_>) -> Finding {
    match &context.device_key_loads {
        Some(Ok(())) => Finding::ok("The TPM loads the key of the certificate from device.tss."),
        Some(Err(error)) => Finding::with(
            Outcome::Failed,
            format!("the TPM does not load the key in device.tss: {error}"),
            "The disk is of another device, or the TPM was cleared; put the device's own disk \
             back, or erase its state to enrol anew.",
        ),
        None => Finding::with(
            Outcome::Failed,
            "there is no key with a certificate yet",
            "`holdfast status` says how far the device is.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn table() {
        let table = [
            (Some(Ok(())), Outcome::Ok, "device.tss"),
            (Some(Err("integrity check".to_owned())), Outcome::Failed, "integrity check"),
            (None, Outcome::Failed, "no key"),
        ];
        for (device_key_loads, outcome, part) in table {
            Fixture { device_key_loads, ..Fixture::active() }.expect(run, outcome, part);
        }
    }
}
