//! The firmware checks what it starts.

use std::io;

use super::{Context, Finding, context::unreadable};

/// Variable `SecureBoot` of `EFI_GLOBAL_VARIABLE` (UEFI 2.10, 3.3), after four bytes of attributes.
const PATH: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

pub(super) fn run(context: &Context) -> Finding {
    match context.read_bytes(PATH).as_deref() {
        Ok([_, _, _, _, 1]) => Finding::ok("Secure Boot is on."),
        Ok([_, _, _, _, 0]) => Finding::failed(
            "Secure Boot is off: the firmware starts anything.",
            "Enrol the image's keys and turn Secure Boot on in the firmware setup; then set a \
             setup password.",
        ),
        Ok(other) => Finding::failed(
            format!("the variable SecureBoot holds {} bytes that mean nothing", other.len()),
            "Update the firmware; it does not follow UEFI.",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::failed(
            "there is no variable SecureBoot: the device did not start by UEFI",
            "Choose UEFI in the firmware setup and leave the compatibility module off.",
        ),
        Err(error) => unreadable(PATH, error, "Mount efivarfs at /sys/firmware/efi/efivars."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    #[test]
    fn table() {
        let table: &[(Option<&[u8]>, _, &str)] = &[
            (Some(&[6, 0, 0, 0, 1]), Ok, "on"),
            (Some(&[6, 0, 0, 0, 0]), Failed, "off"),
            (Some(&[6, 0, 0, 0, 2]), Failed, "mean nothing"),
            (Some(&[]), Failed, "mean nothing"),
            (None, Failed, "UEFI"),
        ];
        for (content, outcome, part) in table {
            let fixture = match content {
                Some(content) => Fixture::new().file(PATH, content),
                None => Fixture::new(),
            };
            fixture.expect(run, *outcome, part);
        }
    }
}
