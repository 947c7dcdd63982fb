//! The TPM is there and signs.

use super::{Context, Finding};

const DEVICE: &str = "dev/tpmrm0";

pub(super) fn run(context: &Context) -> Finding {
    if !context.exists(DEVICE) {
        return Finding::failed(
            "there is no TPM 2.0 (/dev/tpmrm0)",
            "Turn it on in the firmware setup (fTPM, PTT or security chip); without one this \
             device can have no identity.",
        );
    }
    match &context.identity {
        Ok(identity) => match identity.signature_mode.as_str() {
            "tpm-pss" => Finding::ok("The TPM makes the signatures that TLS 1.3 wants."),
            "software-pss" => Finding::ok(
                "The TPM signs; the padding that TLS 1.3 wants is made in software, since this \
                 TPM cannot.",
            ),
            _ => Finding::warning(
                "the TPM is there and its signatures were not tried yet",
                "Wait until the device's keys are made; `holdfast status` says how far it is.",
            ),
        },
        Err(error) => Finding::warning(
            format!("the TPM is there; the identity service says nothing: {error}"),
            "See systemctl status holdfast-enroll.",
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
        let mode = |mode: &str| Snapshot { signature_mode: mode.into(), ..Snapshot::default() };
        let device = || Fixture::new().file(DEVICE, "");
        device().identity(mode("tpm-pss")).expect(run, Ok, "TLS 1.3");
        device().identity(mode("software-pss")).expect(run, Ok, "in software");
        device().identity(mode("")).expect(run, Warning, "not tried");
        device().expect(run, Warning, "no service");
        Fixture::new().identity(mode("tpm-pss")).expect(run, Failed, "no TPM");
    }
}
