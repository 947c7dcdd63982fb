//! The certificate is there and valid.

use super::{Context, Finding};
use crate::text::moment;

/// Renewal this late is not chance, seconds.
const LATE: i64 = 86400;

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
    if identity.certificate_expires == 0 {
        return Finding::failed(
            "there is no certificate",
            "`holdfast status` says how far the device is.",
        );
    }
    let seconds = |unix: u64| i64::try_from(unix).unwrap_or(i64::MAX);
    let until = moment(identity.certificate_expires, context.now);
    if seconds(identity.certificate_expires) <= context.now {
        return Finding::failed(
            format!("the certificate expired: {until}"),
            "Let the device reach the cloud: it comes back by its TPM. Check the clock as well.",
        );
    }
    let due = seconds(identity.next_renewal);
    if due != 0 && due.saturating_add(LATE) < context.now {
        return Finding::warning(
            format!("the renewal is overdue; the certificate is valid until {until}"),
            "Let the device reach the cloud; `holdfast status` names the last error.",
        );
    }
    Finding::ok(format!("The certificate is valid until {until}."))
}

#[cfg(test)]
mod tests {
    use super::super::{
        Outcome::*,
        fixture::{Fixture, NOW},
    };
    use super::*;
    use crate::Snapshot;

    #[test]
    fn table() {
        let now = NOW.unsigned_abs();
        let day = 86400;
        let table = [
            (now + 90 * day, now + 60 * day, Ok, "in 90 days"),
            (now + 90 * day, 0, Ok, "in 90 days"),
            (now + 90 * day, now - day, Ok, "in 90 days"),
            (now + 20 * day, now - 2 * day, Warning, "overdue"),
            (now, 0, Failed, "expired"),
            (now - 9 * day, now - 30 * day, Failed, "9 days ago"),
            (0, 0, Failed, "no certificate"),
            (u64::MAX, u64::MAX, Ok, "valid until"),
        ];
        for (expires, renewal, outcome, part) in table {
            Fixture::new()
                .identity(Snapshot {
                    certificate_expires: expires,
                    next_renewal: renewal,
                    ..Snapshot::default()
                })
                .expect(run, outcome, part);
        }
        Fixture::new().expect(run, Failed, "no service");
    }
}
