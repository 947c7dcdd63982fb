//! The properties of `org.holdfast.Identity1` at one time.

use std::collections::HashMap;

use serde::Serialize;
use zbus::OwnedVariant;

/// Times are Unix seconds, 0 for none; texts are empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are those of the interface.
pub struct Snapshot {
    pub state: String,
    pub edge_id: String,
    pub ek_sha256: String,
    pub device_id: String,
    pub tenant: String,
    pub certificate_expires: u64,
    pub next_renewal: u64,
    pub signature_mode: String,
    pub last_error: String,
    pub last_error_code: String,
    pub next_attempt: u64,
}

impl Snapshot {
    /// Takes over the properties named in the map. Unknown names are of a newer service and are
    /// passed over; a known name of another type is an error that names it.
    pub fn apply(&mut self, properties: HashMap<String, OwnedVariant>) -> Result<(), String> {
        for (name, value) in properties {
            let text = match name.as_str() {
                "State" => &mut self.state,
                "EdgeId" => &mut self.edge_id,
                "EkSha256" => &mut self.ek_sha256,
                "DeviceId" => &mut self.device_id,
                "Tenant" => &mut self.tenant,
                "SignatureMode" => &mut self.signature_mode,
                "LastError" => &mut self.last_error,
                "LastErrorCode" => &mut self.last_error_code,
                _ => {
                    let number = match name.as_str() {
                        "CertificateExpires" => &mut self.certificate_expires,
                        "NextRenewal" => &mut self.next_renewal,
                        "NextAttempt" => &mut self.next_attempt,
                        _ => continue,
                    };
                    *number = u64::try_from(value).map_err(|_| format!("{name} is no number"))?;
                    continue;
                }
            };
            *text = String::try_from(value).map_err(|_| format!("{name} is no text"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn map<const N: usize>(
        entries: [(&str, Variant<'static>); N],
    ) -> HashMap<String, OwnedVariant> {
        entries
            .into_iter()
            .map(|(name, value)| (name.to_owned(), OwnedVariant::try_from(value).unwrap()))
            .collect()
    }

    #[test]
    fn properties_are_taken_over_by_name() {
        let mut snapshot = Snapshot { tenant: "demo".into(), ..Snapshot::default() };
        snapshot
            .apply(map([
                ("State", "active".into()),
                ("NextRenewal", 7_u64.into()),
                ("Colour", "red".into()),
            ]))
            .unwrap();
        let expected = Snapshot {
            state: "active".into(),
            next_renewal: 7,
            tenant: "demo".into(),
            ..Snapshot::default()
        };
        assert_eq!(snapshot, expected);
    }

    #[test]
    fn a_wrong_type_is_named() {
        for (name, value) in [("State", Variant::from(7_u64)), ("NextAttempt", "soon".into())] {
            let error = Snapshot::default().apply(map([(name, value)])).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
